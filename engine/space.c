/* SPDX-License-Identifier: BSD-3-Clause */
/* Address spaces: creation, destruction, and the parent that is made when none is given. */
#include "kernel_map.h"
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOWEST_IOVA   (UINT64_C(1) << 20) /* below it nothing is chosen: 0 is never handed out */
#define BATCH_DEFAULT 256
#define BATCH_MAX     4096
#define NS_DEFAULT    UINT64_C(10000000)
#define NS_MIN	      UINT64_C(100000)
#define HOLES_MAX     63

/* Checks. */

static int bad(struct ioas_ctx *ctx, const char *what)
{
	return diag_fail(&ctx->diag, -EINVAL, "address space: %s", what);
}

static enum ioas_format first_format(const struct ioas_ctx *ctx)
{
	return ctx->caps.user_formats ? __builtin_ctz(ctx->caps.user_formats) : IOAS_FORMAT_NONE;
}

static int check_parent(struct ioas_ctx *ctx, const struct ioas_opts *opts)
{
	if (!opts->parent)
		return 0;
	if (opts->kind != IOAS_KIND_USER)
		return bad(ctx, "parent: only USER spaces have one");
	if (opts->parent->ctx != ctx)
		return diag_fail(&ctx->diag, -EXDEV, "address space: parent: of another context");
	if (!(ioas_kind_ops(opts->parent->kind) & IOAS_OP_PARENT))
		return bad(ctx, "parent: not a KERNEL space");
	if (opts->parent->dirty)
		return diag_fail(&ctx->diag, -EBUSY,
				 "address space: parent: it records dirty pages, which those of "
				 "children's devices would not be part of");
	return 0;
}

/* What is of one kind only. */
static int check_data(struct ioas_ctx *ctx, const struct ioas_opts *opts)
{
	if (opts->prot & ~IOAS_RW)
		return bad(ctx, "prot: not a combination of READ and WRITE");
	if (opts->prot && opts->kind != IOAS_KIND_CPU)
		return bad(ctx, "prot: only CPU spaces have one");
	if (opts->vm_fd && opts->kind != IOAS_KIND_VM)
		return bad(ctx, "vm_fd: only VM spaces have one");
	if (opts->vm_fd < 0)
		return bad(ctx, "vm_fd: no file");
	return 0;
}

static int check_ranges(struct ioas_ctx *ctx, const struct ioas_opts *opts)
{
	const struct ioas_range *aperture = &opts->aperture;

	if (aperture->start > aperture->last)
		return bad(ctx, "aperture: start is above last");
	if (aperture->last && ((aperture->start & (IOAS_PAGE_SIZE - 1)) ||
			       ((aperture->last + 1) & (IOAS_PAGE_SIZE - 1))))
		return bad(ctx, "aperture: not whole pages of 4096 bytes");
	if (opts->reserved_count && !opts->reserved)
		return bad(ctx, "reserved: NULL, with reserved_count not 0");
	for (uint32_t i = 0; i < opts->reserved_count; i++)
		if (opts->reserved[i].start > opts->reserved[i].last)
			return bad(ctx, "reserved: start is above last");
	return 0;
}

static int check_mode(struct ioas_ctx *ctx, const struct ioas_opts *opts)
{
	if (opts->mode != IOAS_STRICT && opts->mode != IOAS_BATCHED)
		return bad(ctx, "mode: neither STRICT nor BATCHED");
	if (opts->mode == IOAS_BATCHED && opts->kind != IOAS_KIND_USER)
		return bad(ctx, "mode: BATCHED is for USER spaces; the kernel invalidates others "
				"before their unmap returns");
	if (opts->page_request && opts->kind != IOAS_KIND_USER)
		return bad(ctx, "page_request: only USER spaces can be filled on demand");
	if (opts->page_request && !ctx->caps.page_requests)
		return diag_fail(&ctx->diag, -EOPNOTSUPP,
				 "address space: page_request: devices of backend %s do not wait "
				 "for pages (as they are bound now)",
				 ctx->be->ops->name);
	if (opts->batch_max > BATCH_MAX)
		return bad(ctx, "batch_max: more than 4096");
	if (opts->batch_ns && opts->batch_ns < NS_MIN)
		return bad(ctx, "batch_ns: less than 100000");
	return 0;
}

static int check_readers(struct ioas_ctx *ctx, const struct ioas_opts *opts)
{
	if (opts->readers && opts->kind != IOAS_KIND_KERNEL)
		return bad(ctx, "readers: only KERNEL spaces have translations that go away");
	return 0;
}

static int check_kind(struct ioas_ctx *ctx, const struct ioas_opts *opts)
{
	if (!ioas_kind_ops(opts->kind))
		return bad(ctx, "kind: there is no such kind");
	if (!(ctx->caps.kinds & 1U << opts->kind))
		return diag_fail(&ctx->diag, -EOPNOTSUPP,
				 "address space: kind: backend %s has no %s spaces",
				 ctx->be->ops->name, ioas_kind_name(opts->kind));
	if (opts->format >= IOAS_FORMAT_COUNT)
		return bad(ctx, "format: there is no such format");
	if (opts->format && opts->kind != IOAS_KIND_USER)
		return diag_fail(&ctx->diag, -EOPNOTSUPP,
				 "address space: format: the backend chooses that of %s spaces",
				 ioas_kind_name(opts->kind));
	if (opts->format && !(ctx->caps.user_formats & 1U << opts->format))
		return diag_fail(&ctx->diag, -EOPNOTSUPP,
				 "address space: format: backend %s has no %s tables",
				 ctx->be->ops->name, ioas_format_name(opts->format));
	return 0;
}

/* What may be used at most, and what is used of it. */
static int choose_aperture(struct ioas *as, const struct ioas_opts *opts,
			   struct ioas_range *aperture)
{
	struct ioas_ctx *ctx = as->ctx;
	struct ioas_range most = ctx->caps.iova;

	if (as->kind == IOAS_KIND_USER) {
		uint64_t last = (UINT64_C(1) << pt_address_bits(as->pt)) - 1;

		if (!as->shadowed)
			most.start = 0;
		if (!as->shadowed || last < most.last)
			most.last = last;
	}
	*aperture = opts->aperture;
	if (!aperture->start && !aperture->last) {
		*aperture = most;
		if (aperture->start < LOWEST_IOVA)
			aperture->start = LOWEST_IOVA;
	}
	if ((aperture->start | (aperture->last + 1)) & as->page_mask)
		return diag_fail(&ctx->diag, -EINVAL,
				 "address space: aperture: not whole pages of %u bytes",
				 as->page_mask + 1);
	if (aperture->start < most.start || aperture->last > most.last)
		return diag_fail(&ctx->diag, -EINVAL,
				 "address space: aperture: 0x%" PRIx64 "-0x%" PRIx64
				 " is outside of 0x%" PRIx64 "-0x%" PRIx64,
				 aperture->start, aperture->last, most.start, most.last);
	return 0;
}

/* The holes between the ranges that the backend allows. Return: how many. */
static unsigned int find_holes(struct ioas *as, struct ioas_range *holes)
{
	struct be *be = as->ctx->be;
	struct ioas_range ranges[HOLES_MAX + 1];
	unsigned int count = 0;

	if ((as->kind == IOAS_KIND_KERNEL || as->shadowed) && be->ops->iova_ranges)
		count = be->ops->iova_ranges(be, ranges, HOLES_MAX + 1);
	if (count > HOLES_MAX + 1)
		count = HOLES_MAX + 1;
	for (unsigned int i = 1; i < count; i++)
		holes[i - 1] = (struct ioas_range){ ranges[i - 1].last + 1, ranges[i].start - 1 };
	return count ? count - 1 : 0;
}

/* The allocator over the aperture, less what is reserved and what the machine keeps. */
static int make_iova(struct ioas *as, const struct ioas_opts *opts, bool restored)
{
	struct ioas_ctx *ctx = as->ctx;
	struct ioas_range holes[HOLES_MAX + 1], aperture, *reserved;
	unsigned int count;
	int ret = 0;

	/* One that was made elsewhere was checked there; devices may have come since then. */
	if (restored)
		aperture = opts->aperture;
	else
		ret = choose_aperture(as, opts, &aperture);
	if (ret)
		return ret;
	count = find_holes(as, holes);
	if (as->kind == IOAS_KIND_USER && ctx->caps.interrupts.last)
		holes[count++] = ctx->caps.interrupts;
	reserved = calloc(opts->reserved_count + count + 1, sizeof(*reserved));
	if (!reserved)
		return diag_fail(&ctx->diag, -ENOMEM, "no memory for reserved ranges");
	memcpy(reserved, holes, count * sizeof(*reserved));
	if (opts->reserved_count)
		memcpy(reserved + count, opts->reserved, opts->reserved_count * sizeof(*reserved));
	ret = iova_init(&as->iova, aperture, reserved, count + opts->reserved_count);
	free(reserved);
	as->has_iova = !ret;
	as->iova.page_bytes = as->page_mask + 1;
	return ret ? diag_fail(&ctx->diag, ret, "no memory for the IOVA allocator") : 0;
}

/* Who names an aperture may count on it: devices that have less are kept out. */
static int keep_iova(struct ioas *as, const struct ioas_opts *opts)
{
	const struct ioas_range *aperture = &as->iova.aperture;
	struct be *be = as->ctx->be;
	struct ioas_range ranges[HOLES_MAX + 1];
	uint64_t at = aperture->start;
	unsigned int count = 0;

	if (!opts->aperture.last || as->kind != IOAS_KIND_KERNEL || !be->ops->iova_keep)
		return 0;
	while (count <= HOLES_MAX) {
		const struct extent *hole = extents_overlap(&as->iova.reserved, at, aperture->last);

		if (!hole || hole->start > at)
			ranges[count++] = (struct ioas_range){ .start = at,
							       .last = hole ? hole->start - 1
									    : aperture->last };
		if (!hole || hole->last >= aperture->last)
			break;
		at = hole->last + 1;
	}
	return be->ops->iova_keep(as->be_space, ranges, count);
}

/* Parts. */

static int backend_space(struct ioas *as, const struct be_space_attr *attr)
{
	struct ioas_ctx *ctx = as->ctx;
	int ret;

	pthread_mutex_lock(&ctx->lock);
	ret = ctx->be->ops->space_create(ctx->be, attr, &as->be_space);
	if (!ret) {
		as->be_space->owner = as;
		cds_list_add_tail(&as->entry, &ctx->spaces);
	}
	pthread_mutex_unlock(&ctx->lock);
	return ret;
}

static int make_kernel(struct ioas *as, const struct be_saved *saved)
{
	struct be_space_attr attr = { .kind = IOAS_KIND_KERNEL, .saved = saved };
	int ret;

	ret = kernel_records_init(as);
	if (ret)
		return diag_fail(&as->ctx->diag, ret, "no memory for the mapping cache");
	return backend_space(as, &attr);
}

/* Interrupts go through the table like any other write. */
static int map_interrupts(struct ioas *as)
{
	const struct ioas_range *range = &as->ctx->caps.interrupts;
	struct pt_map_args args = { .oa = range->start, .prot = IOAS_WRITE };

	if (!range->last || !as->ctx->caps.maps_interrupts)
		return 0;
	return pt_map(as->pt, NULL, range->start, range->last - range->start + 1, &args, 0);
}

static int make_user(struct ioas *as, const struct ioas_opts *opts)
{
	struct ioas_ctx *ctx = as->ctx;
	struct be_space_attr attr = { .kind = IOAS_KIND_USER,
				      .format = as->format,
				      .page_requests = opts->page_request };
	struct ioas *parent = opts->parent;
	int ret = parent ? 0 : auto_parent_get(ctx, &parent);

	if (ret)
		return ret;
	as->parent = parent;
	atomic_fetch_add(&as->parent->children, 1);
	tables_init(&as->tables, as->parent, pt_format_page_lg2(as->format));
	ret = pt_create(as->format, &as->tables.mem, &as->pt);
	if (!ret)
		as->page_mask = (1U << pt_page_lg2(as->pt)) - 1;
	ret = ret ?: map_interrupts(as);
	if (ret)
		return diag_fail(&ctx->diag, ret, "no memory for page tables (RLIMIT_MEMLOCK?)");
	as->page_request = opts->page_request;
	as->page_request_arg = opts->page_request_arg;
	as->batch_max = opts->batch_max ? opts->batch_max : BATCH_DEFAULT;
	as->batch_ns = opts->batch_ns ? opts->batch_ns : NS_DEFAULT;
	ret = inval_init(&as->inval, &ctx->caps, as->batch_max);
	as->has_inval = !ret;
	if (ret)
		return diag_fail(&ctx->diag, ret, "no memory for pending invalidations");
	attr.scratch = as->tables.mem.alloc(&as->tables.mem, &attr.scratch_addr);
	if (!attr.scratch)
		return diag_fail(&ctx->diag, -ENOMEM, "no memory for page tables");
	attr.root = pt_root(as->pt);
	attr.parent = as->parent->be_space;
	ret = backend_space(as, &attr);
	as->inval.space = as->be_space;
	return ret;
}

/* Kinds whose table is not the library's business. */
static int make_other(struct ioas *as, const struct ioas_opts *opts)
{
	struct be_space_attr attr = { .kind = as->kind };

	if (as->kind == IOAS_KIND_CPU) {
		attr.range = as->iova.aperture = opts->aperture;
		attr.prot = opts->prot ? opts->prot : IOAS_RW;
	}
	attr.vm_fd = opts->vm_fd;
	return backend_space(as, &attr);
}

static int make_table(struct ioas *as, const struct ioas_opts *opts, const struct be_saved *saved)
{
	int ret;

	if (as->kind != IOAS_KIND_USER && as->kind != IOAS_KIND_KERNEL)
		return make_other(as, opts);
	ret = as->kind == IOAS_KIND_USER ? make_user(as, opts) : make_kernel(as, saved);
	return ret ? ret : make_iova(as, opts, saved);
}

/* Of a space that is, or is not quite, made. Under admin. */
static void unmake(struct ioas *as)
{
	struct ioas_ctx *ctx = as->ctx;

	if (as->in_service)
		service_remove(as);
	if (as->request_queue) /* nothing has been unmapped through it */
		ioas_queue_destroy(as->request_queue);
	TRACE(space_destroy, as);
	if (as->kind == IOAS_KIND_KERNEL && as->be_space)
		kernel_unmap_all(as);
	pthread_mutex_lock(&ctx->lock);
	if (as->be_space) {
		cds_list_del(&as->entry);
		ctx->be->ops->space_destroy(as->be_space);
	}
	if (as->has_inval) {
		inval_count(&as->inval, &ctx->gone_inval);
		inval_destroy(&as->inval);
	}
	if (as->pt)
		pt_destroy(as->pt);
	if (as->parent) {
		tables_destroy(&as->tables);
		atomic_fetch_sub(&as->parent->children, 1);
	}
	pthread_mutex_unlock(&ctx->lock);
	if (as->kind == IOAS_KIND_KERNEL)
		kernel_records_destroy(as);
	if (as->has_iova)
		iova_destroy(&as->iova);
	free(as);
}

/* Under admin. @saved: see struct be_space_attr. */
static int make(struct ioas_ctx *ctx, const struct ioas_opts *opts, const struct be_saved *saved,
		struct ioas **out)
{
	struct ioas *as = aligned_alloc(64, sizeof(*as));
	int ret;

	if (!as)
		return diag_fail(&ctx->diag, -ENOMEM, "no memory for an address space");
	memset(as, 0, sizeof(*as));
	as->ctx = ctx;
	as->kind = opts->kind;
	as->mode = opts->mode;
	as->page_mask = IOAS_PAGE_SIZE - 1;
	as->readers = opts->readers;
	as->format = opts->kind != IOAS_KIND_USER ? IOAS_FORMAT_NONE
		     : opts->format		  ? opts->format
						  : first_format(ctx);
	as->shadowed = as->kind == IOAS_KIND_USER && ctx->caps.shadows;
	CDS_INIT_LIST_HEAD(&as->queues);
	ret = make_table(as, opts, saved);
	if (!ret && as->page_request)
		ret = requests_start(as);
	if (!ret && as->mode == IOAS_BATCHED) {
		ret = service_add(as);
		as->in_service = !ret;
	}
	if (ret) {
		unmake(as);
		return ret;
	}
	TRACE(space_create, as, as->be_space, as->kind, as->mode);
	*out = as;
	return 0;
}

/* The parent of those without one. */

int auto_parent_get(struct ioas_ctx *ctx, struct ioas **parent)
{
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_KERNEL };
	struct ioas_mem *mem;
	int ret;

	*parent = ctx->auto_parent;
	if (*parent)
		return 0;
	if (ctx->caps.parent_last && ctx->caps.parent_last < ctx->caps.iova.last) {
		opts.aperture.start =
			ctx->caps.iova.start > LOWEST_IOVA ? ctx->caps.iova.start : LOWEST_IOVA;
		opts.aperture.last = ctx->caps.parent_last;
	}
	ret = make(ctx, &opts, NULL, parent);
	if (ret)
		return ret;
	(*parent)->internal = true;
	cds_list_for_each_entry (mem, &ctx->mem_list, entry) {
		ret = ret
			      ?: parent_map(*parent, mem->range.start,
					    mem->range.last - mem->range.start + 1, IOAS_RW, true,
					    &mem->parent_iova, NULL);
		mem->in_parent = !ret;
	}
	ctx->auto_parent = *parent;
	if (ret)
		auto_parent_free(ctx);
	return ret;
}

void auto_parent_free(struct ioas_ctx *ctx)
{
	struct ioas_mem *mem;

	if (!ctx->auto_parent)
		return;
	cds_list_for_each_entry (mem, &ctx->mem_list, entry)
		mem->in_parent = false;
	unmake(ctx->auto_parent);
	ctx->auto_parent = NULL;
}

/* Public. */

int ioas_create(struct ioas_ctx *ctx, const struct ioas_opts *opts, struct ioas **out)
{
	struct ioas *as;
	int ret;

	if (opts->size != sizeof(*opts))
		return bad(ctx, "size: not that of struct ioas_opts");
	pthread_mutex_lock(&ctx->admin);
	ret = check_kind(ctx, opts);
	ret = ret ?: check_mode(ctx, opts);
	ret = ret ?: check_parent(ctx, opts);
	ret = ret ?: check_readers(ctx, opts);
	ret = ret ?: check_ranges(ctx, opts);
	ret = ret ?: check_data(ctx, opts);
	ret = ret ?: make(ctx, opts, NULL, &as);
	if (!ret) {
		ret = keep_iova(as, opts);
		if (ret)
			unmake(as);
	}
	if (!ret) {
		ctx->space_count++;
		*out = as;
	}
	pthread_mutex_unlock(&ctx->admin);
	return ret;
}

/* Under admin. Return: 0, or -EBUSY. */
static int check_unused(struct ioas *as)
{
	unsigned int children = atomic_load(&as->children);
	unsigned int queues = as->queue_count - (as->request_queue ? 1 : 0);

	if (as->regcache)
		return diag_fail(&as->ctx->diag, -EBUSY,
				 "address space: it has a registration cache");
	if (as->devices || queues || as->windows || children)
		return diag_fail(
			&as->ctx->diag, -EBUSY,
			"address space: %u devices, %u queues, %u windows, %u children on it",
			as->devices, queues, as->windows, children);
	return 0;
}

int space_restore(struct ioas_ctx *ctx, const struct ioas_opts *opts, const struct be_saved *saved,
		  struct ioas **as)
{
	int ret = make(ctx, opts, saved, as);

	if (!ret)
		ctx->space_count++;
	return ret;
}

void space_forget(struct ioas *as)
{
	struct ioas_ctx *ctx = as->ctx;

	unmake(as);
	ctx->space_count--;
}

int ioas_destroy(struct ioas *as)
{
	struct ioas_ctx *ctx = as->ctx;
	int ret;

	pthread_mutex_lock(&ctx->admin);
	ret = check_unused(as);
	if (!ret && as->request_queue) {
		pthread_mutex_unlock(&ctx->admin);
		requests_wait(ctx, as, NULL);
		pthread_mutex_lock(&ctx->admin);
		ret = check_unused(as);
	}
	ret = ret ?: requests_stop(as);
	if (!ret)
		space_forget(as);
	pthread_mutex_unlock(&ctx->admin);
	return ret;
}

int ioas_sync(struct ioas *as, const void *va, size_t bytes)
{
	const struct be_inval range = { .iova = (uintptr_t)va, .bytes = bytes };
	struct ioas_ctx *ctx = as->ctx;
	unsigned int crossings = 0;
	uint64_t last;
	int ret;

	if (as->kind != IOAS_KIND_CPU && as->kind != IOAS_KIND_VM)
		return diag_fail(&ctx->diag, -EOPNOTSUPP,
				 "sync is for CPU and VM spaces, this is a %s one",
				 ioas_kind_name(as->kind));
	if (bytes && (((uintptr_t)va | bytes) & (IOAS_PAGE_SIZE - 1) ||
		      __builtin_add_overflow((uintptr_t)va, bytes - 1, &last)))
		return diag_fail(&ctx->diag, -EINVAL,
				 "sync: va %p, %zu bytes: not aligned to 4096, or overflows", va,
				 bytes);
	ret = ctx->be->ops->invalidate(as->be_space, &range, bytes ? 1 : 0, &crossings);
	pthread_mutex_lock(&ctx->lock);
	ctx->gone_inval.crossings += crossings;
	pthread_mutex_unlock(&ctx->lock);
	return ret;
}

enum ioas_kind ioas_get_kind(const struct ioas *as)
{
	return as->kind;
}

enum ioas_mode ioas_get_mode(const struct ioas *as)
{
	return as->mode;
}

enum ioas_format ioas_get_format(const struct ioas *as)
{
	return as->format;
}

uint64_t ioas_get_page_bytes(const struct ioas *as)
{
	return as->page_mask + 1;
}

struct ioas *ioas_get_parent(const struct ioas *as)
{
	return as->parent && !as->parent->internal ? as->parent : NULL;
}

struct ioas_range ioas_get_aperture(const struct ioas *as)
{
	return as->iova.aperture;
}
