/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Drivers and devices on one address space, and an oracle that knows at any moment what may be
 * reached: driver threads map, unmap, grant and revoke; device threads do DMA at IOVAs that are
 * live, that were, and that never were. Test of invariants I1 and I2.
 *
 * Each piece of memory (a buffer, or a slot of a window) belongs to one driver and has a state,
 * which it publishes before and after its calls:
 *
 *   DEAD -> MOVING -> LIVE -> MOVING -> DEAD      STRICT, KERNEL
 *                                    -> EXPOSED   BATCHED, until a ticket says that it is DEAD
 *
 * Why the oracle needs no lock and has no grey zone: an invalidation waits until a burst of DMA is
 * over. So if a translation found in a burst was legal, the driver cannot be told that it is gone,
 * and cannot say DEAD, before the burst is closed. A device that finds DEAD in the burst in
 * which it has reached the piece has caught the engine. In the same way, a piece that is LIVE in
 * one generation before and after an access must have been reached by it.
 *
 * What is checked:
 *   OUTSIDE     a DMA reaches memory that is not mapped, or is mapped elsewhere (STRICT: at all;
 *               BATCHED: beyond batch_max ranges, batch_ns and room for scheduling, or a ticket)
 *   REFUSED     a DMA is refused inside a live mapping
 *   ELSEWHERE   a DMA through a live mapping reaches other memory: IOVA was reused too early
 *   TWICE       an IOVA is handed out while it is somebody's
 *   EARLY       an IOVA is handed out before the ticket of its last unmap is done
 *   CANARY      memory that is not mapped has changed, or holds what was written elsewhere
 *   ERROR       a call fails that must not
 *   LOST        a fault is neither reported nor counted
 *
 * The tests of this test at the end run on a model whose invalidations do nothing.
 *
 *   stress [PATTERN]   run the cases that match: '*strict*'; IOAS_TEST_SECONDS says how long
 */
#ifndef TESTS_ENGINE_STRESS_H
#define TESTS_ENGINE_STRESS_H

#include "rig.h"

#define DRIVERS_MAX   4
#define DEVICES_MAX   3
#define BUFFERS	      32 /* of a driver */
#define BUFFER_PAGES  4
#define SLOTS	      32 /* of a driver's window */
#define PIECES	      (BUFFERS + SLOTS)
#define DRIVER_PAGES  (BUFFERS * BUFFER_PAGES + SLOTS)
#define APERTURE      MIB(64)
#define BASE	      GIB(1)
#define FIXED_BASE    (BASE + MIB(48)) /* here the drivers choose, all of them in the same place */
#define FIXED_PAGES   512
#define IOVA_PAGES    (APERTURE / PAGE)
#define SCHEDULING_NS UINT64_C(1000000000) /* a thread that should run may have to wait */

enum state { DEAD, MOVING, LIVE, EXPOSED, STATES };

enum violation { OUTSIDE, REFUSED, ELSEWHERE, TWICE, EARLY, CANARY, ERROR, LOST, VIOLATIONS };

struct piece {
	_Atomic uint64_t state; /* generation * STATES + enum state */
	_Atomic uint64_t iova;	/* of the mapping that is, or was last */
	_Atomic uint32_t pages; /* that are mapped */
	/* BATCHED: the last unmap, while its ticket is not known to be done. */
	_Atomic bool exposed;
	_Atomic uint64_t unmapped_ns;
	_Atomic uint64_t unmapped_range; /* its number on the queue */
	/* The driver's. */
	uint64_t ticket;
	uint8_t *va;
	struct driver *driver;
};

struct driver {
	struct stress *s;
	unsigned int index;
	pthread_t thread;
	struct ioas_queue *q;
	struct ioas_window *window;
	struct piece pieces[PIECES]; /* buffers, then slots */
	_Atomic uint64_t ranges;     /* unmapped through the queue */
	uint64_t seed;
	uint64_t calls;
	uint64_t taken; /* fixed places that were in use */
	uint64_t ticket_of[IOVA_PAGES];
};

struct device {
	struct stress *s;
	unsigned int index;
	pthread_t thread;
	struct ioas_dev *dev;
	uint64_t seed;
	uint64_t landed;
	uint64_t stopped;
	uint64_t late; /* landed after unmap, within what BATCHED promises */
};

struct config {
	const struct flavour *flavour;
	const char *options;
	unsigned int drivers;
	unsigned int devices;
	uint32_t batch_max;
	uint64_t batch_ns;
	bool plain; /* IOVAs of the library's choice only: they come back soonest */
	uint64_t run_ns;
	bool until_caught;
};

struct stress {
	struct config config;
	struct rig r;
	struct driver drivers[DRIVERS_MAX];
	struct device devices[DEVICES_MAX];
	struct piece *piece_of[RIG_PAGES];	 /* by page of memory */
	_Atomic uint32_t owner[IOVA_PAGES];	 /* by page of IOVA: driver and piece, 0 nobody */
	_Atomic uint32_t last_owner[IOVA_PAGES]; /* driver + 1 that unmapped it last */
	pthread_barrier_t ready;
	_Atomic bool stop;
	_Atomic bool drained;
	_Atomic uint64_t violations[VIOLATIONS];
	_Atomic bool any;
	uint64_t start_ns;
	uint64_t caught_ns;
	pthread_mutex_t lock;
	char first[300];
};

static inline uint64_t draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (*seed >> 33) % below;
}

static inline bool batched(const struct stress *s)
{
	return s->config.flavour->mode == IOAS_BATCHED;
}

static inline enum state state_of(const struct piece *piece)
{
	return atomic_load(&piece->state) % STATES;
}

static inline unsigned int room_of(const struct piece *piece)
{
	return piece - piece->driver->pieces < BUFFERS ? BUFFER_PAGES : 1;
}

static inline void enter(struct piece *piece, enum state state)
{
	uint64_t generation = atomic_load(&piece->state) / STATES;

	atomic_store(&piece->state, (generation + 1) * STATES + state);
}

/* What the device writes says through which IOVA. */
static inline uint64_t tag_of(ioas_iova_t iova, unsigned int device)
{
	return (iova & ~(PAGE - 1)) | 0x800 | device;
}

static inline uint32_t owner_word(const struct piece *piece)
{
	return (piece->driver->index << 16 | (uint32_t)(piece - piece->driver->pieces)) + 1;
}

/* The oracle: stress_oracle.c. */
void violation(struct stress *s, enum violation what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
const char *violation_name(enum violation what);

/* Around the calls of a driver, for each piece of it. */
void before_map(struct piece *piece);
void mapped(struct piece *piece, ioas_iova_t iova, unsigned int pages);
void check_handed_out(struct piece *piece, ioas_iova_t iova, unsigned int pages);
void check_written(struct piece *piece); /* before it goes */
void disown(struct piece *piece);	 /* the same, and its IOVA is nobody's from here on */
void leave_ticket(struct piece *piece);	 /* what the next owner's map has to wait for */
void unmapped(struct piece *piece);
void settle(struct piece *piece); /* is what was exposed dead by now? */

void die(struct piece *piece);
void check_canary(struct piece *piece);

/* Threads. */
void *driver_main(void *arg);
void *device_main(void *arg);

#endif
