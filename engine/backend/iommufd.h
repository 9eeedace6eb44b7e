/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The iommufd backend, between its files:
 *
 *   iommufd.c       context, devices, KERNEL spaces
 *   iommufd_map.c   memory and mappings
 *   iommufd_table.c page tables of KERNEL spaces that record more than the kernel's usual ones
 *   iommufd_handover.c  another process goes on with all of it
 *   iommufd_user.c  USER spaces: a stage 1 of our own, nested on the kernel's page table
 *   nested.h        what makes of IOMMUs differ in there: smmuv3.c, vtd.c, amdvi.c
 *   iommufd_fault.c their faults
 *   iommufd_iopf.c  faults that devices wait for: page requests
 *
 * Locking: see iommufd.c; for what is struct iommufd_faults', its own lock.
 */
#ifndef ENGINE_BACKEND_IOMMUFD_H
#define ENGINE_BACKEND_IOMMUFD_H

#include "nested.h"
#include "uapi_iommufd.h"
#include "vfio.h"

#define IOMMUFD_TAGS (1 << 16)

struct iommufd_be;
struct iommufd_iopf;

/* The kernel's objects under the USER children of a KERNEL space. */
struct iommufd_nest {
	struct iommufd_be *be;
	const struct nested_ops *ops;
	union nested_info info;
	struct nested_traits traits;
	uint32_t hwpt_id;
	uint32_t viommu_id; /* 0: this make has none */
	uint32_t veventq_id;
	int events_fd;	   /* -1: none */
	uint32_t sequence; /* of the next event; under faults.lock */
	uint64_t used[IOMMUFD_TAGS / 64];
	struct iommufd_nest *next;
};

/* A page table that the library asked for; the kernel makes others itself as devices attach. */
struct iommufd_table {
	uint32_t hwpt_id;
	struct iommufd_table *next;
};

struct iommufd_space {
	struct vfio_space vfio;
	enum ioas_kind kind;
	uint32_t pt_id; /* what devices attach to: KERNEL: the IOAS; USER: 0 until the first does */

	/* KERNEL: what page tables have to record, UAPI_HWPT_... flags, and those that do. */
	uint32_t features;
	struct iommufd_table *tables;

	/* KERNEL: made for the first device of a child. USER: the parent's, once one has come. */
	_Atomic(struct iommufd_nest *) nest;

	/* USER */
	struct iommufd_space *parent;
	struct nested_table table;
	bool page_requests;
	struct iommufd_iopf *iopf; /* their queue, with the nested page table */
	struct iommufd_space *next_requesting;
};

struct iommufd_dev {
	struct vfio_dev vfio;
	uint32_t id;
	const struct nested_ops *nested; /* of its IOMMU, or NULL: does not nest; else: */
	union nested_info info;
	struct nested_traits traits;
	struct iommufd_nest *nest; /* of the vDevice */
	uint32_t vdevice_id;
	uint32_t virt_id; /* the name of the vDevice: what its faults carry */
	struct iommufd_dev *next_faulting;
};

/* Where faults come from, and whose they are. */
struct iommufd_faults {
	pthread_mutex_t lock;
	struct iommufd_nest *nests;
	struct iommufd_dev *devices;
	struct iommufd_space *requesting; /* with a queue of page requests */
	bool polling;			  /* a thread has the queues' files */
	uint64_t polls;			  /* that have ended */
	pthread_cond_t polled;
	int wake_fd; /* wakes it; -1 until there is a queue */
	uint32_t last_virt_id;
	uint64_t unread; /* went with their queue */
};

struct iommufd_be {
	struct vfio_be vfio;
	int fd;				       /* -1: abandoned, see struct be_handover_ops */
	bool huge_pages;		       /* option */
	int given_fd;			       /* option, or -1 */
	uint32_t memory_id;		       /* the IOAS of registered memory; 0: not made yet */
	uint64_t parent_last;		       /* highest IOVA of a parent; devices narrow it */
	struct ioas_range interrupts;	       /* see struct be_caps */
	const struct nested_ops *const *makes; /* of IOMMUs that are known; NULL-terminated */
	struct iommufd_faults faults;
};

static inline struct iommufd_be *iommufd_to_be(struct be *be)
{
	return (struct iommufd_be *)be;
}

int iommufd_new_be(struct diag *diag, struct iommufd_be **be);
void iommufd_close(struct be *be);

/*
 * What a device allows narrows the context's limits: of one that is attached nowhere, or to an
 * IOAS.
 */
int iommufd_ask_device(struct iommufd_be *be, struct iommufd_dev *dev);
int iommufd_ask_attached(struct iommufd_be *be, struct iommufd_dev *dev, uint32_t ioas_id);

/* The end of a bind: the context has the device, unless @ret is an error. Return: @ret. */
int iommufd_dev_enter(struct iommufd_dev *dev, int ret, struct be_dev **out);

/* Fails with errno, which @what set. */
int iommufd_fail(struct be *be, const char *what);
void iommufd_destroy(struct iommufd_be *be, uint32_t id);
int iommufd_new_ioas(struct iommufd_be *be, uint32_t *id);
/* Return: 0 or a negative errno, no message. */
int iommufd_move_device(struct iommufd_dev *dev, uint32_t pt_id);
int iommufd_drop_device(struct iommufd_dev *dev);

/* Memory and mappings: operations as they are in struct be_ops. */
int iommufd_mem_add(struct be *be, const struct be_mem_attr *attr, struct be_mem **mem);
void iommufd_mem_del(struct be_mem *mem);
int iommufd_map(struct be_space *space, const struct be_map *maps, unsigned int count,
		unsigned int *done, unsigned int *crossings);
int iommufd_unmap(struct be_space *space, const struct be_unmap *unmaps, unsigned int count,
		  unsigned int *done, unsigned int *crossings);
int iommufd_iova_keep(struct be_space *space, const struct ioas_range *ranges, unsigned int count);

/*
 * Page tables of KERNEL spaces. attach: to one with the features of the space, the message is
 * iommufd.c's. set: a feature on or off, with all devices moved: all or nothing.
 */
int iommufd_table_attach(struct iommufd_space *space, struct iommufd_dev *dev);
int iommufd_table_set(struct iommufd_space *space, uint32_t feature, bool on);
void iommufd_table_destroy(struct iommufd_space *space); /* nothing is attached */

extern const struct be_dirty_ops iommufd_dirty_ops;
extern const struct be_handover_ops iommufd_handover_ops;

void iommufd_user_init(struct iommufd_be *be);
void iommufd_user_fini(struct iommufd_be *be);

/* USER spaces, if all bound devices can have them. */
void iommufd_user_caps(struct iommufd_be *be, struct be_caps *caps);

/*
 * Can a device that is being bound have a stage 1 of ours? Sets dev->nested; if it cannot, the log
 * has the reason. If it can, *hwpt_id, to be destroyed by the caller, limits the IOVAs of @ioas_id,
 * which is empty and there for the purpose, to those of a parent.
 */
void iommufd_user_probe(struct iommufd_be *be, struct iommufd_dev *dev, uint32_t ioas_id,
			uint32_t *hwpt_id);

/* A device comes, or goes: it is detached. */
void iommufd_user_bind(struct iommufd_be *be, struct iommufd_dev *dev);
void iommufd_user_unbind(struct iommufd_be *be, struct iommufd_dev *dev);

int iommufd_user_create(struct be *be, const struct be_space_attr *attr, struct be_space **space);
void iommufd_user_destroy(struct iommufd_space *space);

/* @dev is about to attach to a USER space: makes all that it takes, pt_id above all. */
int iommufd_user_prepare(struct iommufd_space *space, struct iommufd_dev *dev);

/* A KERNEL space goes; it has no children left. */
void iommufd_nest_destroy(struct iommufd_space *parent);

int iommufd_user_invalidate(struct be_space *space, const struct be_inval *ranges,
			    unsigned int count, unsigned int *crossings);

/* Page requests: the queue of a space that wants them, made for its table and freed after it. */
int iommufd_iopf_alloc(struct iommufd_space *space);
void iommufd_iopf_free(struct iommufd_space *space);
uint32_t iommufd_iopf_id(const struct iommufd_space *space);

/* @dev is not attached to @space any more. */
void iommufd_iopf_forget(struct iommufd_space *space, const struct iommufd_dev *dev);

void iommufd_request_wait(struct be *be, unsigned int timeout_ms);
bool iommufd_request_next(struct be *be, struct be_request *request);
void iommufd_request_answer(struct be *be, const struct be_request *request, bool served);

/* Faults. */

void iommufd_faults_init(struct iommufd_faults *faults);
void iommufd_faults_destroy(struct iommufd_faults *faults);

/* A device gets its name, and loses it. */
void iommufd_faults_add_dev(struct iommufd_faults *faults, struct iommufd_dev *dev);
void iommufd_faults_remove_dev(struct iommufd_faults *faults, struct iommufd_dev *dev);

/* The queue of events of a vIOMMU: made; read from now on; not read any more. */
int iommufd_nest_events(struct iommufd_nest *nest);
void iommufd_faults_add_nest(struct iommufd_faults *faults, struct iommufd_nest *nest);
void iommufd_faults_remove_nest(struct iommufd_faults *faults, struct iommufd_nest *nest);

int iommufd_user_fault_read(struct be *be, struct be_fault *faults, unsigned int max,
			    uint64_t *lost);

#endif
