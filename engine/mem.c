/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory: arenas of huge pages from memfd (which is hugetlbfs without a mount), and the caller's
 * own. Pinned and accounted once, by the backend; registered by virtual address.
 */
#include "objects.h"
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KIB64 (UINT64_C(64) << 10)
#define MIB2 (UINT64_C(2) << 20)
#define GIB  (UINT64_C(1) << 30)

#define NODES_MAX 1024

static uint64_t mem_bytes(const struct ioas_mem *mem)
{
	return mem->range.last - mem->range.start + 1;
}

/* The registry. */

static int registry_add(struct ioas_mem *mem)
{
	const uint64_t start = mem->range.start, bytes = mem_bytes(mem);
	struct ioas_ctx *ctx = mem->ctx;
	uint64_t found = start;
	int ret = -EEXIST;

	pthread_mutex_lock(&ctx->mem_lock);
	if (vamap_next(&ctx->mems, &found, mem->range.last) == VAMAP_NONE)
		ret = vamap_insert(&ctx->mems, start, bytes, (uintptr_t)mem) ? 0 : -ENOMEM;
	pthread_mutex_unlock(&ctx->mem_lock);
	if (ret == -EEXIST)
		return diag_fail(&ctx->diag, ret,
				 "memory at 0x%" PRIx64 ", %" PRIu64
				 " bytes: overlaps what is registered, at 0x%" PRIx64,
				 start, bytes, found);
	return ret ? diag_fail(&ctx->diag, ret, "no memory for the registry") : 0;
}

static void registry_remove(struct ioas_mem *mem)
{
	pthread_mutex_lock(&mem->ctx->mem_lock);
	vamap_remove(&mem->ctx->mems, mem->range.start, mem_bytes(mem), (uintptr_t)mem);
	pthread_mutex_unlock(&mem->ctx->mem_lock);
}

struct ioas_mem *mem_use(struct ioas_ctx *ctx, uint64_t va, uint64_t bytes)
{
	struct ioas_mem *mem;

	pthread_mutex_lock(&ctx->mem_lock);
	mem = vamap_object(&ctx->mems, va);
	if (mem && (mem->internal || mem->dying || mem->range.last - va < bytes - 1))
		mem = NULL;
	if (mem)
		mem->uses++;
	pthread_mutex_unlock(&ctx->mem_lock);
	return mem;
}

void mem_unuse(struct ioas_mem *mem)
{
	pthread_mutex_lock(&mem->ctx->mem_lock);
	mem->uses--;
	pthread_mutex_unlock(&mem->ctx->mem_lock);
}

bool mem_overlaps(struct ioas_ctx *ctx, uint64_t start, uint64_t last)
{
	bool overlaps;

	pthread_mutex_lock(&ctx->mem_lock);
	overlaps = vamap_overlap(&ctx->mems, start, last);
	pthread_mutex_unlock(&ctx->mem_lock);
	return overlaps;
}

/* Pin and account. ctx->lock is held. */
static int pin(struct ioas_ctx *ctx, const struct be_mem_attr *attr, struct be_mem **be_mem)
{
	int ret = ctx->be->ops->mem_add(ctx->be, attr, be_mem);

	if (!ret)
		atomic_fetch_add_explicit(&ctx->bytes_pinned, attr->bytes, memory_order_relaxed);
	return ret;
}

static void unpin(struct ioas_ctx *ctx, struct be_mem *be_mem, uint64_t bytes)
{
	ctx->be->ops->mem_del(be_mem);
	atomic_fetch_sub_explicit(&ctx->bytes_pinned, bytes, memory_order_relaxed);
}

int mem_pin(struct ioas_ctx *ctx, uint64_t va, uint64_t bytes, struct be_mem **be_mem)
{
	const struct be_mem_attr attr = {
		.va = (void *)(uintptr_t)va, .bytes = bytes, .page_bytes = IOAS_PAGE_SIZE, .fd = -1
	};
	int ret;

	pthread_mutex_lock(&ctx->lock);
	ret = pin(ctx, &attr, be_mem);
	pthread_mutex_unlock(&ctx->lock);
	return ret;
}

void mem_unpin(struct ioas_ctx *ctx, struct be_mem *be_mem, uint64_t bytes)
{
	pthread_mutex_lock(&ctx->lock);
	unpin(ctx, be_mem, bytes);
	pthread_mutex_unlock(&ctx->lock);
}

/* Pin, and enter in the registry. ctx->lock is held. @saved: see struct be_mem_attr. */
static int mem_add(struct ioas_mem *mem, const struct be_saved *saved)
{
	struct be_mem_attr attr = {
		.va = (void *)(uintptr_t)mem->range.start,
		.bytes = mem_bytes(mem),
		.page_bytes = mem->page_bytes,
		.fd = mem->fd,
		.saved = saved,
	};
	int ret = registry_add(mem);

	if (ret)
		return ret;
	ret = pin(mem->ctx, &attr, &mem->be_mem);
	if (ret)
		registry_remove(mem);
	TRACE(mem_add, mem, attr.va, attr.bytes, ret);
	return ret;
}

/* ctx->lock is held. */
static void mem_remove(struct ioas_mem *mem)
{
	const uint64_t bytes = mem_bytes(mem);

	TRACE(mem_del, mem, mem->range.start, bytes);
	unpin(mem->ctx, mem->be_mem, bytes);
	registry_remove(mem);
}

static void mem_release(struct ioas_mem *mem)
{
	if (mem->owned)
		munmap((void *)(uintptr_t)mem->range.start, mem_bytes(mem));
	if (mem->fd >= 0)
		close(mem->fd);
	free(mem);
}

static struct ioas_mem *mem_new(struct ioas_ctx *ctx)
{
	struct ioas_mem *mem = malloc(sizeof(*mem)); /* calloc() passes glibc's caches by */

	if (mem)
		*mem = (struct ioas_mem){ .ctx = ctx, .fd = -1, .page_bytes = IOAS_PAGE_SIZE };
	return mem;
}

/* Allocation. */

/* Address space with @align; the caller maps over it. */
static void *reserve(uint64_t bytes, uint64_t align)
{
	uint8_t *raw = mmap(NULL, bytes + align, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *va;

	if (raw == MAP_FAILED)
		return NULL;
	va = (uint8_t *)(((uintptr_t)raw + align - 1) & ~(align - 1));
	if (va > raw)
		munmap(raw, va - raw);
	munmap(va + bytes, raw + align - va);
	return va;
}

static int bind_node(void *va, uint64_t bytes, int node)
{
	unsigned long mask[NODES_MAX / (8 * sizeof(long))] = { 0 };
	const unsigned int bits = 8 * sizeof(long);

	if (node < 0)
		return 0;
	mask[node / bits] = 1UL << node % bits;
	return syscall(SYS_mbind, va, bytes, MPOL_BIND, mask, NODES_MAX, 0) ? -errno : 0;
}

/* Fault it in now, so that a page that is not to be had is an error and not a signal later. */
static int populate(void *va, uint64_t bytes)
{
#ifdef MADV_POPULATE_WRITE
	if (!madvise(va, bytes, MADV_POPULATE_WRITE))
		return 0;
	return errno == EINVAL ? 0 : -ENOMEM; /* before Linux 5.14: the backend's pin does it */
#else
	return 0;
#endif
}

/* A file of pages of one size, mapped. Return: 0 or a negative errno, nothing is left behind. */
static int map_pages(struct ioas_mem *mem, uint64_t bytes, uint64_t page_bytes, int node)
{
	/* As large as pages of any table may be, so that memory fills them. */
	const uint64_t most = bytes >= MIB2 ? MIB2 : bytes >= KIB64 ? KIB64 : IOAS_PAGE_SIZE;
	const uint64_t align = page_bytes < most ? most : page_bytes;
	unsigned int flags = MFD_CLOEXEC;
	void *va;
	int fd, ret;

	bytes = (bytes + page_bytes - 1) & ~(page_bytes - 1);
	if (page_bytes > IOAS_PAGE_SIZE)
		flags |= MFD_HUGETLB | __builtin_ctzll(page_bytes) << MFD_HUGE_SHIFT;
	fd = memfd_create("ioas", flags);
	if (fd < 0)
		return -errno;
	va = reserve(bytes, align);
	ret = !va ? -ENOMEM : ftruncate(fd, bytes) ? -errno : 0;
	/* Of huge pages, mmap() reserves as many as it needs, or fails. */
	if (!ret &&
	    mmap(va, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		ret = -errno;
	ret = ret ?: bind_node(va, bytes, node) ?: populate(va, bytes);
	if (ret) {
		if (va)
			munmap(va, bytes);
		close(fd);
		return ret;
	}
	mem->range.start = (uintptr_t)va;
	mem->range.last = (uintptr_t)va + bytes - 1;
	mem->page_bytes = page_bytes;
	mem->fd = fd;
	mem->owned = true;
	return 0;
}

static const char *page_name(uint64_t page_bytes)
{
	return page_bytes == GIB ? "1 GiB" : page_bytes == MIB2 ? "2 MiB" : "4 KiB";
}

static void say_how(char *text, size_t text_bytes, uint64_t bytes, uint64_t page_bytes)
{
	uint64_t pages = (bytes + page_bytes - 1) / page_bytes;

	if (page_bytes == MIB2)
		snprintf(text, text_bytes,
			 "sysctl vm.nr_hugepages=N, with N at least %" PRIu64
			 " more than are in use",
			 pages);
	else
		snprintf(text, text_bytes,
			 "echo N > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages, with "
			 "N at least %" PRIu64 " more than are in use",
			 pages);
}

/* With the page size that was asked for, or the next smaller ones. */
static int allocate(struct ioas_mem *mem, const struct ioas_mem_opts *opts)
{
	static const uint64_t sizes[] = { GIB, MIB2, IOAS_PAGE_SIZE };
	struct diag *diag = &mem->ctx->diag;
	/* Nobody asks for 1 GiB pages by leaving it open: their absence is no news. */
	uint64_t wanted = opts->page_bytes	? opts->page_bytes
			  : opts->bytes >= MIB2 ? MIB2
						: IOAS_PAGE_SIZE;
	char how[128];
	int ret = -ENOMEM;

	for (unsigned int i = 0; i < 3; i++) {
		if (sizes[i] > (opts->page_bytes ? opts->page_bytes : opts->bytes))
			continue;
		ret = map_pages(mem, opts->bytes, sizes[i], opts->numa_node);
		if (!ret || opts->strict_page)
			break;
	}
	say_how(how, sizeof(how), opts->bytes, wanted);
	if (ret)
		return diag_fail(diag, ret == -EINVAL ? -EINVAL : -ENOMEM,
				 "no memory: %" PRIu64 " bytes in pages of %s on node %d: %s%s%s",
				 opts->bytes, page_name(wanted), opts->numa_node, strerror(-ret),
				 wanted > IOAS_PAGE_SIZE ? ": " : "",
				 wanted > IOAS_PAGE_SIZE ? how : "");
	if (mem->page_bytes < wanted)
		diag_log(diag, IOAS_LOG_WARNING,
			 "no pages of %s for %" PRIu64 " bytes, these are of %s: %s",
			 page_name(wanted), opts->bytes, page_name(mem->page_bytes), how);
	return 0;
}

static int check_options(struct ioas_ctx *ctx, const struct ioas_mem_opts *opts)
{
	struct diag *diag = &ctx->diag;

	if (opts->size != sizeof(*opts))
		return diag_fail(diag, -EINVAL, "size: %u is not that of struct ioas_mem_opts",
				 opts->size);
	if (!opts->bytes || opts->bytes > UINT64_C(1) << (VAMAP_BITS - 1))
		return diag_fail(diag, -EINVAL, "bytes: %" PRIu64 " is zero or too large",
				 opts->bytes);
	if (opts->page_bytes && opts->page_bytes != IOAS_PAGE_SIZE && opts->page_bytes != MIB2 &&
	    opts->page_bytes != GIB)
		return diag_fail(diag, -EINVAL,
				 "page_bytes: %" PRIu64 " is none of 4096, 2 MiB, 1 GiB, 0",
				 opts->page_bytes);
	if (opts->numa_node < IOAS_NUMA_ANY || opts->numa_node >= NODES_MAX)
		return diag_fail(diag, -EINVAL, "numa_node: %d is no node", opts->numa_node);
	return 0;
}

/* Pin it, and let children see it that have no parent of their own. Under admin. */
static int mem_announce(struct ioas_mem *mem)
{
	struct ioas_ctx *ctx = mem->ctx;
	int ret;

	pthread_mutex_lock(&ctx->lock);
	ret = mem_add(mem, NULL);
	if (!ret && ctx->auto_parent) {
		ret = parent_map(ctx->auto_parent, mem->range.start, mem_bytes(mem), IOAS_RW, true,
				 &mem->parent_iova, NULL);
		mem->in_parent = !ret;
		if (ret)
			mem_remove(mem);
	}
	pthread_mutex_unlock(&ctx->lock);
	if (!ret)
		cds_list_add_tail(&mem->entry, &ctx->mem_list);
	return ret;
}

int ioas_mem_alloc(struct ioas_ctx *ctx, const struct ioas_mem_opts *opts, struct ioas_mem **out)
{
	struct ioas_mem *mem;
	int ret = check_options(ctx, opts);

	if (ret)
		return ret;
	mem = mem_new(ctx);
	if (!mem)
		return diag_fail(&ctx->diag, -ENOMEM, "no memory for a record");
	ret = allocate(mem, opts);
	if (!ret) {
		pthread_mutex_lock(&ctx->admin);
		ret = mem_announce(mem);
		pthread_mutex_unlock(&ctx->admin);
	}
	if (ret) {
		mem_release(mem);
		return ret;
	}
	*out = mem;
	return 0;
}

int ioas_mem_register(struct ioas_ctx *ctx, void *va, size_t bytes, struct ioas_mem **out)
{
	uint64_t start = (uintptr_t)va;
	struct ioas_mem *mem;
	int ret;

	if (!bytes || ((start | bytes) & (IOAS_PAGE_SIZE - 1)) || start + bytes - 1 < start ||
	    (start + bytes - 1) >> VAMAP_BITS)
		return diag_fail(&ctx->diag, -EINVAL,
				 "va %p, bytes %zu: zero, not a multiple of 4096, or beyond the "
				 "address space",
				 va, bytes);
	mem = mem_new(ctx);
	if (!mem)
		return diag_fail(&ctx->diag, -ENOMEM, "no memory for a record");
	mem->range.start = start;
	mem->range.last = start + bytes - 1;
	pthread_mutex_lock(&ctx->admin);
	ret = mem_announce(mem);
	pthread_mutex_unlock(&ctx->admin);
	if (ret) {
		mem_release(mem);
		return ret;
	}
	*out = mem;
	return 0;
}

int mem_alloc_internal(struct ioas_ctx *ctx, uint64_t bytes, struct ioas_mem **out)
{
	struct ioas_mem *mem = mem_new(ctx);
	int ret;

	if (!mem)
		return -ENOMEM;
	mem->internal = true;
	ret = map_pages(mem, bytes, IOAS_PAGE_SIZE, IOAS_NUMA_ANY) ?: mem_add(mem, NULL);
	if (ret) {
		mem_release(mem);
		return ret;
	}
	*out = mem;
	return 0;
}

void mem_free_internal(struct ioas_mem *mem)
{
	mem_remove(mem);
	mem_release(mem);
}

/* Where it was, if that place is free: pointers into it hold then. */
static void *map_again(const struct be_mem_attr *attr, int fd)
{
	const uint64_t align = attr->page_bytes > MIB2 ? attr->page_bytes : MIB2;
	const int prot = PROT_READ | PROT_WRITE;
	void *va = mmap(attr->va, attr->bytes, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	void *elsewhere;

	if (va == attr->va)
		return va;
	if (va != MAP_FAILED) /* before Linux 4.17 the flag is not known */
		munmap(va, attr->bytes);
	elsewhere = reserve(attr->bytes, align);
	if (!elsewhere)
		return NULL;
	va = mmap(elsewhere, attr->bytes, prot, MAP_SHARED | MAP_FIXED, fd, 0);
	if (va == MAP_FAILED)
		munmap(elsewhere, attr->bytes);
	return va == MAP_FAILED ? NULL : va;
}

int mem_restore(struct ioas_ctx *ctx, int fd, const struct be_mem_attr *attr)
{
	struct ioas_mem *mem = mem_new(ctx);
	void *va = NULL;
	int ret = -ENOMEM;

	if (!mem)
		return diag_fail(&ctx->diag, -ENOMEM, "no memory for a record");
	mem->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (mem->fd >= 0)
		va = map_again(attr, mem->fd);
	if (va) {
		mem->range.start = (uintptr_t)va;
		mem->range.last = (uintptr_t)va + attr->bytes - 1;
		mem->page_bytes = attr->page_bytes;
		mem->owned = true;
		ret = mem_add(mem, attr->saved);
	} else {
		diag_fail(&ctx->diag, ret, "memory of %" PRIu64 " bytes, file %d: %s", attr->bytes,
			  fd, strerror(errno));
	}
	if (ret) {
		mem_release(mem);
		return ret;
	}
	cds_list_add_tail(&mem->entry, &ctx->mem_list);
	return 0;
}

void mem_forget(struct ioas_mem *mem)
{
	mem_remove(mem);
	cds_list_del(&mem->entry);
	mem_release(mem);
}

/* Freeing. */

/* Where is it mapped by the user's own calls? Under admin. */
static void say_where(struct ioas_mem *mem)
{
	struct ioas_ctx *ctx = mem->ctx;
	uint64_t iova = 0;
	struct ioas *as;

	pthread_mutex_lock(&ctx->lock);
	cds_list_for_each_entry (as, &ctx->spaces, entry)
		if (as->kind == IOAS_KIND_KERNEL && !as->internal &&
		    kernel_find_va(as, mem->range.start, mem_bytes(mem), &iova))
			break;
	pthread_mutex_unlock(&ctx->lock);
	if (&as->entry != &ctx->spaces)
		diag_fail(&ctx->diag, -EBUSY,
			  "memory at 0x%" PRIx64 " is mapped at IOVA 0x%" PRIx64, mem->range.start,
			  iova);
	else
		diag_fail(&ctx->diag, -EBUSY,
			  "memory at 0x%" PRIx64
			  " is under a window, or a registration cache holds a buffer of it",
			  mem->range.start);
}

static bool set_dying(struct ioas_mem *mem, bool dying)
{
	bool idle;

	pthread_mutex_lock(&mem->ctx->mem_lock);
	idle = !mem->uses;
	mem->dying = dying && idle;
	pthread_mutex_unlock(&mem->ctx->mem_lock);
	return idle;
}

/* Out of the registry, if nobody uses it. */
static bool leave_registry(struct ioas_mem *mem)
{
	bool idle;

	pthread_mutex_lock(&mem->ctx->mem_lock);
	idle = !mem->uses;
	if (idle)
		vamap_remove(&mem->ctx->mems, mem->range.start, mem_bytes(mem), (uintptr_t)mem);
	pthread_mutex_unlock(&mem->ctx->mem_lock);
	return idle;
}

/*
 * Take it from under the children, with no new use meanwhile. Under admin. Return: 0, -EBUSY, or an
 * invalidation's error.
 */
static int leave_parent(struct ioas_mem *mem)
{
	struct ioas_ctx *ctx = mem->ctx;
	uint64_t iova;
	int ret = 0;

	parent_hide(ctx->auto_parent, mem->parent_iova);
	urcu_bp_synchronize_rcu();
	/* Who found it before has mapped it by now; nobody can from now on. */
	if (parent_in_use(ctx->auto_parent, mem->parent_iova, mem_bytes(mem), &iova))
		ret = diag_fail(&ctx->diag, -EBUSY,
				"memory at 0x%" PRIx64 " is mapped at IOVA 0x%" PRIx64,
				mem->range.start, iova);
	/*
	 * And what was mapped before must be out of every cache (I1). Unmaps that have cleared
	 * their entries publish them before they leave their read-side section.
	 */
	urcu_bp_synchronize_rcu();
	ret = ret ?: parent_settle(ctx->auto_parent);
	if (ret)
		parent_show(ctx->auto_parent, mem->parent_iova);
	else
		parent_unmap(ctx->auto_parent, mem->parent_iova, mem_bytes(mem), NULL);
	return ret;
}

int ioas_mem_free(struct ioas_mem *mem)
{
	struct ioas_ctx *ctx = mem->ctx;
	int ret = 0;

	pthread_mutex_lock(&ctx->admin);
	regcache_forget_mem(ctx, mem->range.start, mem_bytes(mem));
	if (mem->in_parent && set_dying(mem, true)) {
		ret = leave_parent(mem);
		if (ret)
			set_dying(mem, false);
	}
	if (!ret && !leave_registry(mem)) {
		say_where(mem);
		ret = -EBUSY;
	}
	if (!ret) {
		mem_unpin(ctx, mem->be_mem, mem_bytes(mem));
		cds_list_del(&mem->entry);
	}
	pthread_mutex_unlock(&ctx->admin);
	if (!ret)
		mem_release(mem);
	return ret;
}

/* Reading. */

void *ioas_mem_va(const struct ioas_mem *mem)
{
	return (void *)(uintptr_t)mem->range.start;
}

size_t ioas_mem_bytes(const struct ioas_mem *mem)
{
	return mem_bytes(mem);
}

/* Page size behind the caller's own memory, from the kernel's list of mappings. */
static size_t page_bytes_of(uint64_t va)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	size_t page_bytes = IOAS_PAGE_SIZE;
	bool inside = false;
	char *line = NULL;
	size_t room = 0;

	while (file && getline(&line, &room, file) > 0) {
		uint64_t start, end, kib;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			inside = start <= va && va < end;
		else if (inside && sscanf(line, "KernelPageSize: %" SCNu64 " kB", &kib) == 1)
			page_bytes = kib << 10;
	}
	free(line);
	if (file)
		fclose(file);
	return page_bytes;
}

size_t ioas_mem_page_bytes(const struct ioas_mem *mem)
{
	return mem->owned ? mem->page_bytes : page_bytes_of(mem->range.start);
}

int ioas_mem_fd(const struct ioas_mem *mem)
{
	return mem->fd;
}
