/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The objects behind the opaque types of the public API, and the locks between them.
 *
 * Locks, outermost first:
 *   ioas_ctx.admin      slow calls, whole: devices, memory, address spaces come and go
 *   ioas_ctx.lock       the backend's slow operations (backend.h), the list of address spaces
 *   ioas.maps_lock      KERNEL: records of mappings, the mapping cache's writers
 *   ioas_ctx.mem_lock   the registry of memory
 *   requests.lock   page requests on their way: backend's queues of them, faults.lock are inside
 *   service.lock, tables.lock, iova.lock, inval.lock   each guards its own structure
 *
 * Hot calls on USER spaces run inside an RCU read-side section (liburcu, the flavour that needs
 * no registration of threads, since these are the application's). Page-table memory may run out
 * in one, and tables.c takes ioas_ctx.lock to register more: so nobody waits for readers under
 * that lock, and no function of engine/pgtable that may allocate is called under it.
 * ioas_mem_free() takes memory out of the parent's mapping cache, waits for readers (under admin
 * alone), and then looks for what they have mapped.
 */
#ifndef ENGINE_OBJECTS_H
#define ENGINE_OBJECTS_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-bp.h>
#include <urcu/flavor.h>
#include <urcu/list.h>

#include <ioas/ioas.h>

#include "backend/backend.h"
#include "extent.h"
#include "inval.h"
#include "iova.h"
#include "pgtable/pt.h"
#include "tables.h"
#include "vamap.h"

#define QUEUES_MAX INVAL_SOURCES

/* Counters of hot calls: one writer, the queue's thread; anybody may read. */
enum counter {
	COUNTER_MAPS,
	COUNTER_UNMAPS,
	COUNTER_MAP_CROSSINGS,
	COUNTER_UNMAP_CROSSINGS,
	COUNTER_INVAL_ASKED,
	COUNTER_INVAL_MERGED, /* before they reached the ring */
	COUNTER_COMMIT_JOINS,
	COUNTERS,
};

struct counters {
	_Atomic uint64_t value[COUNTERS];
};

static inline void counter_add(struct counters *counters, enum counter which, uint64_t n)
{
	_Atomic uint64_t *value = &counters->value[which];

	/* No read-modify-write is needed with one writer. */
	atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

#define FAULTS_MAX 4096 /* read from the backend, not yet fetched */

struct faults {
	pthread_mutex_t lock;
	struct ioas_fault ring[FAULTS_MAX];
	uint32_t head;
	uint32_t count;
	uint64_t stopped; /* all */
	uint64_t lost;
};

/* The context's own thread: what has to happen in time though nobody calls. */
struct service {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool running; /* under admin */
	bool stop;
	bool changed;
	struct cds_list_head spaces; /* BATCHED ones, by ioas.service_entry */
};

/* Page requests: see request.c. */
struct requests {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	pthread_t thread;
	bool running; /* under admin */
	_Atomic bool stop;
	const struct ioas *as; /* whose handler runs, and for which device */
	const struct ioas_dev *dev;
	uint64_t count;
	uint64_t refused; /* of these */
};

struct ioas_ctx {
	struct be *be;
	struct be_caps caps;
	struct diag diag;
	char why[DIAG_TEXT_BYTES];
	ioas_fault_fn fault;
	void *fault_arg;
	pthread_mutex_t admin;
	pthread_mutex_t lock;
	struct cds_list_head spaces;   /* ioas.entry, parents made by the library included */
	struct cds_list_head devices;  /* ioas_dev.entry; under admin */
	struct cds_list_head mem_list; /* the user's, ioas_mem.entry; under admin */
	struct ioas *auto_parent; /* KERNEL: maps all registered memory, IOVA = VA where it can */
	unsigned int device_count;
	unsigned int space_count; /* that the user made */
	pthread_mutex_t mem_lock;
	struct vamap mems; /* struct ioas_mem by virtual address, internal ones included */
	_Atomic uint64_t bytes_pinned;
	struct counters gone; /* of queues and address spaces that are no more; under lock */
	struct inval_totals gone_inval;
	struct faults faults;
	struct service service;
	struct requests requests;
};

struct ioas_dev {
	struct ioas_ctx *ctx;
	struct be_dev *be_dev;
	struct ioas *as; /* attached to, or NULL */
	struct cds_list_head entry;
	char name[];
};

struct ioas_mem {
	struct ioas_range range; /* virtual addresses */
	struct ioas_ctx *ctx;
	struct be_mem *be_mem;
	uint64_t uses; /* KERNEL mappings and windows of the user's; under mem_lock */
	uint64_t page_bytes;
	uint64_t parent_iova; /* in the context's auto_parent */
	int fd;		      /* -1: the caller's memory */
	bool owned;	      /* to be unmapped when it is freed */
	bool in_parent;
	bool dying;    /* no new use; under mem_lock */
	bool internal; /* page tables: the user does not know of it */
	struct cds_list_head entry;
};

struct ioas {
	struct ioas_ctx *ctx;
	enum ioas_kind kind;
	enum ioas_mode mode;
	enum ioas_format format;
	uint32_t page_mask; /* what is mapped is a multiple of this plus one; 4095, USER: or more */
	struct be_space *be_space;
	struct cds_list_head entry;
	unsigned int devices;	  /* attached; under admin */
	unsigned int windows;	  /* under admin */
	unsigned int queue_count; /* under ctx->lock */
	_Atomic unsigned int children;
	struct cds_list_head queues; /* ioas_queue.entry; under ctx->lock */
	bool internal;		     /* made by the library */
	bool has_iova;
	bool in_service;
	bool has_inval;
	struct iova iova;

	struct ioas_regcache *regcache; /* KERNEL: or NULL; under admin */

	/* KERNEL. What readers read of it and writers write is in lines of cache of its own. */
	struct vamap cache __attribute__((aligned(64)));
	struct vamap reverse;
	const struct rcu_flavor_struct *readers; /* of translations; NULL: nobody to wait for */
	_Atomic uint64_t removals __attribute__((aligned(64))); /* from the cache */
	pthread_mutex_t maps_lock __attribute__((aligned(64)));
	struct vamap maps;	      /* struct kernel_map by IOVA */
	struct extents far_maps;      /* far_map.extent, of IOVAs that @maps does not cover */
	uint64_t map_count;	      /* in both */
	struct cds_list_head aliases; /* kernel_map.alias */
	bool dirty;		      /* writes are recorded; under ctx->lock */

	/* USER */
	struct ioas *parent;
	struct tables tables;
	struct pt *pt;
	struct inval inval;
	uint32_t batch_max;
	uint64_t batch_ns;
	bool shadowed; /* be_caps.shadows: the kernel is told of what is mapped */
	struct cds_list_head service_entry;
	ioas_page_request_fn page_request; /* NULL: devices do not wait for pages */
	void *page_request_arg;
	struct ioas_queue *request_queue; /* its handler's */
};

/* Units that wait for an invalidation before the allocator gets them back. */
struct quarantine_entry {
	struct iova_chunk *chunk; /* NULL: a long range */
	uint64_t start;
	uint64_t units; /* of the chunk, or bytes of the long range */
	uint64_t position;
};

struct quarantine {
	struct quarantine_entry *ring;
	uint64_t head;
	uint64_t tail;
	uint32_t mask;
};

struct ioas_queue {
	/* Read by every call. */
	_Atomic(const void *) owner; /* the owning thread's pointer */
	struct ioas *as;
	struct inval_source *source; /* USER */
	_Atomic uint32_t *reg_holds; /* what it holds of each registration, or NULL (regcache.h) */
	_Atomic uint64_t reg_gets;   /* begun and ended: odd inside a get */
	uint32_t pending;	     /* ranges unmapped since the last commit of its own */

	/* The thread's working state. */
	struct pt_cursor map_cursor;
	struct pt_cursor unmap_cursor;
	struct iova_magazines magazines;
	struct quarantine quarantine;
	struct counters counters;
	struct cds_list_head entry;
	const char *missed; /* what was not found last, if that was the last failure; else NULL */
	uint64_t missed_address;
	char error[DIAG_TEXT_BYTES];
};

struct ioas_window {
	struct ioas *as;
	struct ioas_mem *mem;
	uint64_t iova;
	uint64_t bytes;
	uint64_t va;
	uint64_t entry_base; /* entry of the first page; page i: + i * entry_step */
	uint64_t entry_step;
	uint64_t present;    /* any of these bits: granted */
	uint64_t start;	     /* the bit that marks the first page of a granted slot */
	uint64_t free_entry; /* INVAL_STAMP_WINDOW, as an entry */
	uint32_t slots;
	uint32_t slot_pages;
	uint32_t first_index;	     /* of the first page in the first table */
	_Atomic uint64_t *entries[]; /* of each 2 MiB block */
};

/* ctx.c */

/* Makes a context on the backend that @open opens in ctx->be; it sets ctx->why, too. */
typedef int (*ctx_open_fn)(struct ioas_ctx *ctx, const struct ioas_ctx_opts *opts, void *arg);
int ctx_make(const struct ioas_ctx_opts *opts, ctx_open_fn open, void *arg, struct ioas_ctx **ctx);
void ctx_free(struct ioas_ctx *ctx);
const struct be_ops *ctx_find_backend(const char *name);

/*
 * Objects that another process made, for handover.c: as they were saved. What takes them away again
 * when the backend has been abandoned.
 */
int dev_restore(struct ioas_ctx *ctx, const char *name, const struct be_saved *saved,
		struct ioas *as);
void dev_forget(struct ioas_dev *dev);
int mem_restore(struct ioas_ctx *ctx, int fd, const struct be_mem_attr *attr);
void mem_forget(struct ioas_mem *mem);
int space_restore(struct ioas_ctx *ctx, const struct ioas_opts *opts, const struct be_saved *saved,
		  struct ioas **as);
void space_forget(struct ioas *as);

/* queue.c */

/* Record a failure of a hot call; returns @code. */
int queue_fail(struct ioas_queue *q, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4), cold));
int queue_not_owner(struct ioas_queue *q) __attribute__((cold));
int queue_wrong_kind(struct ioas_queue *q, const char *call) __attribute__((cold));

/* A failure that is no surprise: its text is made when somebody asks. Return: -ENOENT. */
static inline int queue_miss(struct ioas_queue *q, const char *what, uint64_t address)
{
	q->missed = what;
	q->missed_address = address;
	return -ENOENT;
}

static inline const void *this_thread(void)
{
	return __builtin_thread_pointer();
}

static inline bool queue_is_mine(struct ioas_queue *q)
{
	return __builtin_expect(
		atomic_load_explicit(&q->owner, memory_order_relaxed) == this_thread(), 1);
}

/* Commit what was published. Return: 0 or an error. */
int queue_commit(struct ioas_queue *q);
/* The same, if the mode or the bound wants it. */
int queue_settle(struct ioas_queue *q);

/* Give units back when @position of the queue's source is complete. */
void queue_retire(struct ioas_queue *q, struct iova_chunk *chunk, uint64_t start, uint64_t units,
		  uint64_t position);
void queue_harvest(struct ioas_queue *q);

/* mem.c */

/* The user's memory that holds all of a range, with one more use, or NULL. */
struct ioas_mem *mem_use(struct ioas_ctx *ctx, uint64_t va, uint64_t bytes);
void mem_unuse(struct ioas_mem *mem);

/* Is some of the range in the user's memory? */
bool mem_overlaps(struct ioas_ctx *ctx, uint64_t start, uint64_t last);

/* Pin and account memory that is in no registry. Return: 0, or an error that the diag explains. */
int mem_pin(struct ioas_ctx *ctx, uint64_t va, uint64_t bytes, struct be_mem **be_mem);
void mem_unpin(struct ioas_ctx *ctx, struct be_mem *be_mem, uint64_t bytes);

/* For page tables. ctx->lock is held. */
int mem_alloc_internal(struct ioas_ctx *ctx, uint64_t bytes, struct ioas_mem **mem);
void mem_free_internal(struct ioas_mem *mem);

/* kernel_map.c, kernel_records.c: hot calls on KERNEL spaces */
int kernel_map_batch(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count,
		     uint32_t flags);
int queue_backend_said(struct ioas_queue *q, int ret); /* takes over the backend's text */
int kernel_unmap_batch(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count);
void kernel_unmap_all(struct ioas *as);

/* The mapping of a KERNEL space that holds @iova; the lowest one that maps part of a range. */
bool kernel_lookup(struct ioas *as, uint64_t iova, uint64_t *va, uint32_t *prot);
bool kernel_find_va(struct ioas *as, uint64_t va, uint64_t bytes, uint64_t *iova);

/* parent.c: what the library itself maps in a KERNEL space: memory under children, tables */

/*
 * @cached: children find it. Return: 0, or an error that the diag explains. Both add to *crossings,
 * if that is not NULL.
 */
int parent_map(struct ioas *parent, uint64_t va, uint64_t bytes, uint32_t prot, bool cached,
	       uint64_t *iova, unsigned int *crossings);
void parent_unmap(struct ioas *parent, uint64_t iova, uint64_t bytes, unsigned int *crossings);

/* Children do not find it any more, or do again. */
void parent_hide(struct ioas *parent, uint64_t iova);
void parent_show(struct ioas *parent, uint64_t iova);

/* Where a child of @parent has leaves that point into [oa, oa + bytes): true and the IOVA. */
bool parent_in_use(struct ioas *parent, uint64_t oa, uint64_t bytes, uint64_t *iova);

/* Complete what the children of @parent have pending. */
int parent_settle(struct ioas *parent);

/* regcache.c: what a queue holds. The first is its thread's; the second under ctx->lock. */
int regcache_queue_begin(struct ioas_queue *q);
void regcache_queue_end(struct ioas_queue *q);

/* ioas_mem_free(): no get finds it, and what is not held of it is unmapped. Under admin. */
void regcache_forget_mem(struct ioas_ctx *ctx, uint64_t va, uint64_t bytes);

/* user_map.c: hot calls on USER spaces */
int user_map_batch(struct ioas_queue *q, struct ioas_seg *segs, unsigned int count, uint32_t flags,
		   bool as_one);
int user_unmap_batch(struct ioas_queue *q, const struct ioas_seg *segs, unsigned int count);

/* A thread of the context, in service.c. Return: 0 or an error. */
int thread_start(struct ioas_ctx *ctx, pthread_t *thread, void *(*run)(void *ctx),
		 const char *name);

/* request.c. A space with a handler gets a queue for it; starting and stopping are under admin. */
void requests_init(struct requests *requests);
void requests_destroy(struct requests *requests);
int requests_start(struct ioas *as);
int requests_stop(struct ioas *as); /* no device is on it, and its handler does not run */
void requests_count(struct ioas_ctx *ctx, uint64_t *count, uint64_t *refused);

/* Until no handler runs of @as, nor for @dev; not under admin, which a handler may want. */
void requests_wait(struct ioas_ctx *ctx, const struct ioas *as, const struct ioas_dev *dev);

/* service.c. Starting and stopping are done under admin. */
void service_init(struct service *service);
int service_start(struct ioas_ctx *ctx); /* unless it runs */
void service_stop(struct ioas_ctx *ctx);
int service_add(struct ioas *as);
void service_remove(struct ioas *as);

/* fault.c */
void faults_deliver(struct ioas_ctx *ctx);
void faults_add(struct ioas_ctx *ctx, const struct be_fault *fault);
void faults_count(struct ioas_ctx *ctx, uint64_t *stopped, uint64_t *lost);
void faults_forget(struct ioas_ctx *ctx, const struct ioas_dev *dev);

/* space.c: the KERNEL space under children without a parent of their own. Under admin. */
int auto_parent_get(struct ioas_ctx *ctx, struct ioas **parent);
void auto_parent_free(struct ioas_ctx *ctx);

#endif
