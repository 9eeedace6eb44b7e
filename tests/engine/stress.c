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
 *   ELSEWHERE   a DMA through a live mapping reaches other memory: the IOVA was used again too
 * early TWICE       an IOVA is handed out while it is somebody's EARLY       an IOVA is handed out
 * before the ticket of its last unmap is done CANARY      memory that is not mapped has changed, or
 * a page holds what was written elsewhere ERROR       a call fails that must not LOST        a
 * fault is neither reported nor counted
 *
 * The tests of this test at the end run on a model whose invalidations do nothing.
 *
 *   stress [PATTERN]   run the cases that match: '*strict*'; IOAS_TEST_SECONDS says how long
 */
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

static const char *const violation_names[] = {
	"outside", "refused", "elsewhere", "twice", "early", "canary", "error", "lost",
};

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

static uint64_t draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (*seed >> 33) % below;
}

static void __attribute__((format(printf, 3, 4)))
violation(struct stress *s, enum violation what, const char *format, ...)
{
	va_list args;

	atomic_fetch_add(&s->violations[what], 1);
	pthread_mutex_lock(&s->lock);
	if (!atomic_load(&s->any)) {
		int length = snprintf(s->first, sizeof(s->first), "%s: ", violation_names[what]);

		va_start(args, format);
		vsnprintf(s->first + length, sizeof(s->first) - length, format, args);
		va_end(args);
		s->caught_ns = now_ns() - s->start_ns;
		atomic_store(&s->any, true);
	}
	pthread_mutex_unlock(&s->lock);
	if (s->config.until_caught)
		atomic_store(&s->stop, true);
}

static bool batched(const struct stress *s)
{
	return s->config.flavour->mode == IOAS_BATCHED;
}

/* Pieces, as their driver sees them. */

static enum state state_of(const struct piece *piece)
{
	return atomic_load(&piece->state) % STATES;
}

static void enter(struct piece *piece, enum state state)
{
	uint64_t generation = atomic_load(&piece->state) / STATES;

	atomic_store(&piece->state, (generation + 1) * STATES + state);
}

static unsigned int room_of(const struct piece *piece)
{
	return piece - piece->driver->pieces < BUFFERS ? BUFFER_PAGES : 1;
}

static uint64_t mark_of(const struct piece *piece, uint64_t kind)
{
	return kind << 56 | (uintptr_t)piece;
}

#define STAMPED	 UINT64_C(0x51) /* before it is mapped */
#define CANARIED UINT64_C(0xca) /* after it is dead */

static void mark(struct piece *piece, uint64_t kind)
{
	for (unsigned int page = 0; page < room_of(piece); page++)
		word_set(piece->va + page * PAGE, mark_of(piece, kind));
}

static void die(struct piece *piece)
{
	enter(piece, DEAD);
	mark(piece, CANARIED);
}

static void check_canary(struct piece *piece)
{
	struct stress *s = piece->driver->s;

	for (unsigned int page = 0; page < room_of(piece); page++) {
		uint64_t word = word_at(piece->va + page * PAGE);

		if (word != mark_of(piece, CANARIED))
			violation(s, CANARY, "page %u of %p, not mapped, was 0x%lx last: 0x%lx",
				  page, piece->va, (unsigned long)atomic_load(&piece->iova),
				  (unsigned long)word);
	}
}

/* What the device writes says through which IOVA. */
static uint64_t tag_of(ioas_iova_t iova, unsigned int device)
{
	return (iova & ~(PAGE - 1)) | 0x800 | device;
}

static void check_written(struct piece *piece)
{
	struct stress *s = piece->driver->s;
	uint64_t iova = atomic_load(&piece->iova);

	if (batched(s)) /* a mapping before this one may still be open */
		return;
	for (unsigned int page = 0; page < room_of(piece); page++) {
		uint64_t word = word_at(piece->va + page * PAGE);
		bool mapped = page < atomic_load(&piece->pages);

		if (word != mark_of(piece, STAMPED) &&
		    (!mapped || (word & ~(PAGE - 1)) != iova + page * PAGE))
			violation(s, CANARY, "page %u of %p, mapped at 0x%lx: 0x%lx", page,
				  piece->va, (unsigned long)iova, (unsigned long)word);
	}
}

static void before_map(struct piece *piece)
{
	bool dead = state_of(piece) == DEAD;

	if (dead)
		check_canary(piece);
	enter(piece, MOVING);
	mark(piece, STAMPED);
}

static uint32_t owner_word(const struct piece *piece)
{
	return (piece->driver->index << 16 | (uint32_t)(piece - piece->driver->pieces)) + 1;
}

/* The library has handed out the range: was it anybody's, and was it done with? */
static void check_handed_out(struct piece *piece, ioas_iova_t iova, unsigned int pages)
{
	struct driver *d = piece->driver;
	struct stress *s = d->s;

	if (iova < BASE || iova + pages * PAGE > BASE + APERTURE || iova % PAGE) {
		violation(s, ERROR, "0x%lx is not in the aperture", (unsigned long)iova);
		return;
	}
	for (unsigned int i = 0; i < pages; i++) {
		uint64_t at = (iova - BASE) / PAGE + i;
		uint32_t old = atomic_exchange(&s->owner[at], owner_word(piece));

		if (old)
			violation(s, TWICE, "0x%lx is of driver %u, and now of driver %u",
				  (unsigned long)(iova + i * PAGE), (old - 1) >> 16, d->index);
		if (atomic_load(&s->last_owner[at]) == d->index + 1 &&
		    !ioas_ticket_done(d->q, d->ticket_of[at]))
			violation(s, EARLY, "0x%lx: its last unmap is not done",
				  (unsigned long)(iova + i * PAGE));
	}
}

static void mapped(struct piece *piece, ioas_iova_t iova, unsigned int pages)
{
	atomic_store(&piece->iova, iova);
	atomic_store(&piece->pages, pages);
	enter(piece, LIVE);
}

/* BATCHED: something of @piece may be reachable from now on for as long as is promised. */
static void expose(struct piece *piece)
{
	struct driver *d = piece->driver;

	atomic_store(&piece->unmapped_range, atomic_load(&d->ranges));
	atomic_store(&piece->unmapped_ns, now_ns());
	atomic_store(&piece->exposed, true);
	piece->ticket = ioas_ticket(d->q);
	enter(piece, EXPOSED);
}

static void unmapped(struct piece *piece)
{
	if (batched(piece->driver->s))
		expose(piece);
	else
		die(piece);
}

static void disown(struct piece *piece)
{
	struct driver *d = piece->driver;
	uint64_t at = (atomic_load(&piece->iova) - BASE) / PAGE;

	check_written(piece);
	enter(piece, MOVING);
	for (unsigned int i = 0; i < atomic_load(&piece->pages); i++) {
		atomic_store(&d->s->last_owner[at + i], 0);
		atomic_store(&d->s->owner[at + i], 0);
	}
}

static void leave_ticket(struct piece *piece)
{
	struct driver *d = piece->driver;
	uint64_t at = (atomic_load(&piece->iova) - BASE) / PAGE, ticket = ioas_ticket(d->q);

	for (unsigned int i = 0; i < atomic_load(&piece->pages); i++) {
		uint32_t nobody = 0;

		/* Somebody else may have it by now, and may have unmapped it. */
		if (atomic_load(&d->s->owner[at + i]))
			continue;
		d->ticket_of[at + i] = ticket;
		atomic_compare_exchange_strong(&d->s->last_owner[at + i], &nobody, d->index + 1);
	}
}

/* A piece that is exposed is dead when its ticket is done. */
static void settle(struct piece *piece)
{
	if (!atomic_load(&piece->exposed) || !ioas_ticket_done(piece->driver->q, piece->ticket))
		return;
	atomic_store(&piece->exposed, false);
	if (state_of(piece) == EXPOSED)
		die(piece);
}

/* Calls of a driver. */

static void call_failed(struct driver *d, const char *call, int ret)
{
	violation(d->s, ERROR, "%s of driver %u: %d, %s", call, d->index, ret,
		  ioas_queue_error(d->q));
}

static void map_failed(struct piece *piece)
{
	/* It may have been visible for a moment; what that leaves is the queue's to invalidate. */
	unmapped(piece);
}

static void map_one(struct driver *d, struct piece *piece)
{
	unsigned int pages = 1 + draw(&d->seed, BUFFER_PAGES);
	bool fixed = !draw(&d->seed, 5);
	ioas_iova_t iova = FIXED_BASE + draw(&d->seed, FIXED_PAGES - BUFFER_PAGES) * PAGE;
	int ret;

	before_map(piece);
	ret = ioas_map(d->q, piece->va, pages * PAGE, IOAS_RW | (fixed ? IOAS_MAP_FIXED : 0),
		       &iova);
	d->calls++;
	if (ret) {
		if (fixed && ret == -EEXIST)
			d->taken++;
		else
			call_failed(d, "map", ret);
		map_failed(piece);
		return;
	}
	check_handed_out(piece, iova, pages);
	mapped(piece, iova, pages);
}

static void unmap_one(struct driver *d, struct piece *piece)
{
	int ret;

	disown(piece);
	ret = ioas_unmap(d->q, atomic_load(&piece->iova), atomic_load(&piece->pages) * PAGE);
	d->calls++;
	if (ret)
		call_failed(d, "unmap", ret);
	leave_ticket(piece);
	atomic_fetch_add(&d->ranges, 1);
	unmapped(piece);
}

/* Up to @max different pieces that are, or are not, live. */
static unsigned int choose(struct driver *d, unsigned int first, unsigned int count, bool live,
			   struct piece **chosen, unsigned int max)
{
	unsigned int at = draw(&d->seed, count), found = 0;

	for (unsigned int i = 0; i < count && found < max; i++) {
		struct piece *piece = &d->pieces[first + (at + i) % count];

		settle(piece);
		if ((state_of(piece) == LIVE) == live)
			chosen[found++] = piece;
	}
	return found;
}

static void map_batch(struct driver *d)
{
	struct piece *chosen[8];
	struct ioas_seg segs[8];
	unsigned int count = choose(d, 0, BUFFERS, false, chosen, 1 + draw(&d->seed, 8));
	int ret;

	for (unsigned int i = 0; i < count; i++) {
		before_map(chosen[i]);
		segs[i] = (struct ioas_seg){ .va = chosen[i]->va,
					     .bytes = (1 + draw(&d->seed, BUFFER_PAGES)) * PAGE };
	}
	ret = ioas_map_batch(d->q, segs, count, IOAS_RW);
	d->calls++;
	if (ret != (int)count) {
		call_failed(d, "map_batch", ret);
		for (unsigned int i = 0; i < count; i++)
			map_failed(chosen[i]);
		return;
	}
	for (unsigned int i = 0; i < count; i++) {
		check_handed_out(chosen[i], segs[i].iova, segs[i].bytes / PAGE);
		mapped(chosen[i], segs[i].iova, segs[i].bytes / PAGE);
	}
}

static void unmap_batch(struct driver *d)
{
	struct piece *chosen[8];
	struct ioas_seg segs[8];
	unsigned int count = choose(d, 0, BUFFERS, true, chosen, 1 + draw(&d->seed, 8));
	int ret;

	for (unsigned int i = 0; i < count; i++) {
		disown(chosen[i]);
		segs[i] = (struct ioas_seg){ .iova = atomic_load(&chosen[i]->iova),
					     .bytes = atomic_load(&chosen[i]->pages) * PAGE };
	}
	ret = ioas_unmap_batch(d->q, segs, count);
	d->calls++;
	if (ret != (int)count)
		call_failed(d, "unmap_batch", ret);
	atomic_fetch_add(&d->ranges, count);
	for (unsigned int i = 0; i < count; i++) {
		leave_ticket(chosen[i]);
		unmapped(chosen[i]);
	}
}

static void turn_slots(struct driver *d)
{
	bool live = draw(&d->seed, 2);
	struct piece *chosen[8];
	uint32_t slots[8];
	unsigned int count = choose(d, BUFFERS, SLOTS, live, chosen, 1 + draw(&d->seed, 8));
	int ret;

	if (!count)
		return;
	for (unsigned int i = 0; i < count; i++) {
		slots[i] = chosen[i] - &d->pieces[BUFFERS];
		if (live) {
			check_written(chosen[i]);
			enter(chosen[i], MOVING);
		} else {
			before_map(chosen[i]);
		}
	}
	ret = live ? ioas_window_revoke(d->q, d->window, slots, count)
		   : ioas_window_grant(d->q, d->window, slots, count);
	d->calls++;
	if (ret)
		call_failed(d, live ? "revoke" : "grant", ret);
	if (live) /* one range at least */
		atomic_fetch_add(&d->ranges, 1);
	for (unsigned int i = 0; i < count; i++) {
		if (live)
			unmapped(chosen[i]);
		else
			mapped(chosen[i], ioas_window_iova(d->window) + slots[i] * PAGE, 1);
	}
}

static void flush(struct driver *d)
{
	int ret = ioas_flush(d->q);

	d->calls++;
	if (ret)
		call_failed(d, "flush", ret);
	for (unsigned int i = 0; i < PIECES; i++) {
		struct piece *piece = &d->pieces[i];

		if (!atomic_load(&piece->exposed))
			continue;
		if (!ioas_ticket_done(d->q, piece->ticket))
			violation(d->s, EARLY, "a ticket is not done after flush");
		settle(piece);
	}
}

static void take_all_back(struct driver *d)
{
	for (unsigned int i = 0; i < PIECES; i++) {
		struct piece *piece = &d->pieces[i];
		uint32_t slot = i - BUFFERS;
		int ret;

		if (state_of(piece) != LIVE)
			continue;
		if (i < BUFFERS) {
			unmap_one(d, piece);
			continue;
		}
		enter(piece, MOVING);
		ret = ioas_window_revoke(d->q, d->window, &slot, 1);
		if (ret)
			call_failed(d, "revoke", ret);
		unmapped(piece);
	}
	flush(d);
}

static bool driver_open(struct driver *d)
{
	struct ioas_window_opts opts = { .size = sizeof(opts),
					 .prot = IOAS_RW,
					 .va = d->pieces[BUFFERS].va,
					 .bytes = SLOTS * PAGE,
					 .slot_bytes = PAGE };
	struct stress *s = d->s;

	if (ioas_queue_create(s->r.as, &d->q))
		return false;
	if (s->config.flavour->kind != IOAS_KIND_USER)
		return true;
	if (ioas_window_create(s->r.as, &opts, &d->window))
		return false;
	for (unsigned int i = 0; i < SLOTS; i++)
		atomic_store(&s->owner[(ioas_window_iova(d->window) - BASE) / PAGE + i],
			     owner_word(&d->pieces[BUFFERS + i]));
	return true;
}

static void *driver_main(void *arg)
{
	struct driver *d = arg;
	struct stress *s = d->s;
	int ret;

	if (!driver_open(d))
		violation(s, ERROR, "driver %u cannot start", d->index);
	pthread_barrier_wait(&s->ready);
	while (!atomic_load(&s->stop)) {
		struct piece *piece = &d->pieces[draw(&d->seed, BUFFERS)];
		unsigned int what = draw(&d->seed, 100);

		settle(piece);
		if (what < 50 && state_of(piece) == LIVE)
			unmap_one(d, piece);
		else if (what < 50)
			map_one(d, piece);
		else if (what < 60)
			map_batch(d);
		else if (what < 70)
			unmap_batch(d);
		else if (what < 98 && d->window)
			turn_slots(d);
		else if (what == 99 && !draw(&d->seed, 10))
			flush(d);
		/* A pause now and then, so that time bounds are met by time. */
		if (batched(s) && !draw(&d->seed, 3000))
			nanosleep(&(struct timespec){ 0, 2 * s->config.batch_ns % 1000000000 },
				  NULL);
	}
	take_all_back(d);
	ret = d->window ? ioas_window_destroy(d->window) : 0;
	ret = ret ?: ioas_queue_destroy(d->q);
	if (ret)
		violation(s, ERROR, "driver %u cannot stop: %d", d->index, ret);
	return NULL;
}

/* Devices. */

/* What was reached is not what the piece is mapped at now: may it be the mapping before? */
static void judge_exposed(struct device *dev, const struct piece *piece, uint64_t state,
			  ioas_iova_t iova, uint64_t asked_ns)
{
	struct stress *s = dev->s;
	bool exposed = atomic_load(&piece->exposed);
	uint64_t range = atomic_load(&piece->unmapped_range);
	uint64_t unmapped_ns = atomic_load(&piece->unmapped_ns);
	uint64_t ranges = atomic_load(&piece->driver->ranges);

	if (atomic_load(&piece->state) != state)
		return; /* what was read does not belong together */
	if (!exposed)
		violation(s, OUTSIDE, "0x%lx reaches %p: %s, at 0x%lx", (unsigned long)iova,
			  piece->va, state % STATES == DEAD ? "not mapped" : "mapped elsewhere",
			  (unsigned long)atomic_load(&piece->iova));
	else if (ranges - range >= s->config.batch_max)
		violation(s, OUTSIDE, "0x%lx reaches %p, unmapped %lu ranges ago",
			  (unsigned long)iova, piece->va, (unsigned long)(ranges - range));
	else if (asked_ns > unmapped_ns + s->config.batch_ns + SCHEDULING_NS)
		violation(s, OUTSIDE, "0x%lx reaches %p, unmapped %lu ns ago", (unsigned long)iova,
			  piece->va, (unsigned long)(asked_ns - unmapped_ns));
	else
		dev->late++;
}

static void judge_landed(struct device *dev, ioas_iova_t iova, const uint8_t *at, uint64_t asked_ns)
{
	struct stress *s = dev->s;
	const struct piece *piece;
	uint64_t state, offset;

	if (at < s->r.va || at >= s->r.va + RIG_BYTES || !s->piece_of[(at - s->r.va) / PAGE]) {
		violation(s, OUTSIDE, "0x%lx reaches %p, which was never mapped",
			  (unsigned long)iova, (const void *)at);
		return;
	}
	piece = s->piece_of[(at - s->r.va) / PAGE];
	state = atomic_load(&piece->state);
	if (state % STATES == MOVING)
		return;
	offset = at - piece->va;
	if (state % STATES == LIVE && iova - atomic_load(&piece->iova) == offset &&
	    offset < atomic_load(&piece->pages) * PAGE)
		return;
	judge_exposed(dev, piece, state, iova, asked_ns);
}

/* One access, in a burst. @target: is LIVE in state @before, and @iova is page @page of it. */
static void access_one(struct device *dev, ioas_iova_t iova, const struct piece *target,
		       uint64_t before, unsigned int page)
{
	struct stress *s = dev->s;
	bool write = draw(&dev->seed, 4);
	uint64_t asked_ns = batched(s) ? now_ns() : 0;
	size_t bytes = 8;
	uint8_t *at = ioas_soft_dma_ptr(dev->dev, iova, &bytes, write ? IOAS_WRITE : IOAS_READ);

	if (at)
		dev->landed++;
	else
		dev->stopped++;
	if (target && atomic_load(&target->state) == before) {
		if (!at)
			violation(s, REFUSED, "0x%lx, of %p", (unsigned long)iova, target->va);
		else if (at != target->va + page * PAGE)
			violation(s, ELSEWHERE, "0x%lx, of %p, reaches %p", (unsigned long)iova,
				  target->va, at);
	}
	if (!at)
		return;
	judge_landed(dev, iova, at, asked_ns);
	if (write)
		word_set(at, tag_of(iova, dev->index));
}

static void access_any(struct device *dev)
{
	struct stress *s = dev->s;
	struct driver *d = &s->drivers[draw(&dev->seed, s->config.drivers)];
	struct piece *piece = &d->pieces[draw(&dev->seed, d->window ? PIECES : BUFFERS)];
	uint64_t state = atomic_load(&piece->state);
	uint64_t iova = atomic_load(&piece->iova);
	unsigned int pages = atomic_load(&piece->pages);
	unsigned int page = pages ? draw(&dev->seed, pages) : 0;

	if (!pages || !draw(&dev->seed, 8)) {
		access_one(dev, BASE + draw(&dev->seed, IOVA_PAGES) * PAGE, NULL, 0, 0);
		return;
	}
	/* The three words belong together if the state is still the same. */
	if (state % STATES != LIVE || atomic_load(&piece->state) != state)
		piece = NULL;
	access_one(dev, iova + page * PAGE, piece, state, page);
}

static void *device_main(void *arg)
{
	struct device *dev = arg;
	struct stress *s = dev->s;

	pthread_barrier_wait(&s->ready);
	while (!atomic_load(&s->drained)) {
		unsigned int count = 1 + draw(&dev->seed, 8);

		ioas_soft_dma_begin(dev->dev);
		for (unsigned int i = 0; i < count; i++)
			access_any(dev);
		ioas_soft_dma_end(dev->dev);
	}
	return NULL;
}

/* The run. */

static void stress_prepare(struct stress *s, const struct config *config)
{
	struct ioas_opts opts = opts_of(config->flavour);
	unsigned int page = 0;

	memset(s, 0, sizeof(*s));
	s->config = *config;
	pthread_mutex_init(&s->lock, NULL);
	rig_open(&s->r, config->options);
	opts.aperture = (struct ioas_range){ BASE, BASE + APERTURE - 1 };
	if (batched(s)) {
		opts.batch_max = config->batch_max;
		opts.batch_ns = config->batch_ns;
	}
	rig_space(&s->r, &opts);
	for (unsigned int i = 0; i < config->drivers; i++) {
		struct driver *d = &s->drivers[i];

		*d = (struct driver){ .s = s, .index = i, .seed = 100 + i };
		for (unsigned int j = 0; j < PIECES; j++) {
			struct piece *piece = &d->pieces[j];

			piece->driver = d;
			piece->va = s->r.va + page * PAGE;
			for (unsigned int k = 0; k < room_of(piece); k++)
				s->piece_of[page++] = piece;
			die(piece);
		}
	}
	for (unsigned int i = 0; i < config->devices; i++) {
		char name[16];

		s->devices[i] = (struct device){ .s = s, .index = i, .seed = 200 + i };
		snprintf(name, sizeof(name), "dev%u@%u", i,
			 config->options && strstr(config->options, "units=2") ? i % 2 : 0);
		assert_int_equal(ioas_dev_bind(s->r.ctx, name, &s->devices[i].dev), 0);
		assert_int_equal(ioas_attach(s->r.as, s->devices[i].dev), 0);
	}
}

/* All is unmapped: nothing in the whole aperture is reachable, nothing has been touched. */
static void stress_check_end(struct stress *s)
{
	uint64_t stopped = 0;

	for (unsigned int i = 0; i < s->config.devices; i++) {
		uint64_t word = 0;

		for (uint64_t page = 0; page < IOVA_PAGES; page++, stopped++)
			if (!ioas_soft_dma_write(s->devices[i].dev, BASE + page * PAGE, &word, 8))
				violation(s, OUTSIDE, "0x%lx at the end",
					  (unsigned long)(BASE + page * PAGE));
		stopped += s->devices[i].stopped;
	}
	for (unsigned int i = 0; i < s->config.drivers; i++)
		for (unsigned int j = 0; j < PIECES; j++)
			check_canary(&s->drivers[i].pieces[j]);
	if (!atomic_load(&s->any) && stats_of(s->r.ctx).faults != stopped)
		violation(s, LOST, "%lu of %lu faults", stats_of(s->r.ctx).faults, stopped);
}

static void stress_report(struct stress *s)
{
	struct ioas_stats stats = stats_of(s->r.ctx);
	uint64_t calls = 0, taken = 0, landed = 0, stopped = 0, late = 0;

	for (unsigned int i = 0; i < s->config.drivers; i++) {
		calls += s->drivers[i].calls;
		taken += s->drivers[i].taken;
	}
	for (unsigned int i = 0; i < s->config.devices; i++) {
		landed += s->devices[i].landed;
		stopped += s->devices[i].stopped;
		late += s->devices[i].late;
	}
	printf("# %s, %u drivers, %u devices, %s: %lu calls (%lu places taken), %lu DMAs landed, "
	       "%lu stopped, %lu late\n",
	       s->config.flavour->name, s->config.drivers, s->config.devices,
	       s->config.options ? s->config.options : "defaults", calls, taken, landed, stopped,
	       late);
	printf("# %lu ranges invalidated, %lu flushes, %lu commits, %lu joined\n",
	       stats.inval_issued, stats.inval_flushes, stats.commits, stats.commit_joins);
	for (int i = 0; i < VIOLATIONS; i++)
		if (atomic_load(&s->violations[i]))
			printf("# violations \"%s\": %lu\n", violation_names[i],
			       atomic_load(&s->violations[i]));
	if (atomic_load(&s->any))
		printf("# first, after %lu us: %s\n", s->caught_ns / 1000, s->first);
}

static void stress_stop(struct stress *s)
{
	for (unsigned int i = 0; i < s->config.devices; i++) {
		assert_int_equal(ioas_detach(s->devices[i].dev), 0);
		assert_int_equal(ioas_dev_unbind(s->devices[i].dev), 0);
	}
	rig_stop(&s->r);
	pthread_mutex_destroy(&s->lock);
}

static struct stress *stress_run(const struct config *config)
{
	static struct stress s;
	struct timespec pause = { 0, 1000000 };

	stress_prepare(&s, config);
	pthread_barrier_init(&s.ready, NULL, config->drivers + config->devices + 1);
	for (unsigned int i = 0; i < config->drivers; i++)
		assert_int_equal(
			pthread_create(&s.drivers[i].thread, NULL, driver_main, &s.drivers[i]), 0);
	for (unsigned int i = 0; i < config->devices; i++)
		assert_int_equal(
			pthread_create(&s.devices[i].thread, NULL, device_main, &s.devices[i]), 0);
	s.start_ns = now_ns();
	pthread_barrier_wait(&s.ready);
	while (!atomic_load(&s.stop) && now_ns() - s.start_ns < config->run_ns)
		nanosleep(&pause, NULL);
	atomic_store(&s.stop, true);
	for (unsigned int i = 0; i < config->drivers; i++)
		pthread_join(s.drivers[i].thread, NULL);
	atomic_store(&s.drained, true);
	for (unsigned int i = 0; i < config->devices; i++)
		pthread_join(s.devices[i].thread, NULL);
	pthread_barrier_destroy(&s.ready);
	stress_check_end(&s);
	stress_report(&s);
	return &s;
}

static void must_hold(const struct config *config)
{
	struct stress *s = stress_run(config);

	for (int i = 0; i < VIOLATIONS; i++)
		assert_int_equal(atomic_load(&s->violations[i]), 0);
	stress_stop(s);
}

static const char *const exact; /* ranges are invalidated one by one */
static const char *const coarse = "iotlb_sets=8,iotlb_ways=4"; /* a flush is cheaper soon */

static void strict_user(void **state)
{
	(void)state;
	must_hold(&(struct config){ .flavour = &user_flavour,
				    .options = exact,
				    .drivers = 2,
				    .devices = 1,
				    .run_ns = test_ns() / 2 });
	must_hold(&(struct config){ .flavour = &user_flavour,
				    .options = "units=2",
				    .drivers = 4,
				    .devices = 2,
				    .run_ns = test_ns() / 2 });
}

static void strict_user_five_levels(void **state)
{
	(void)state;
	must_hold(&(struct config){ .flavour = &user5_flavour,
				    .options = coarse,
				    .drivers = 3,
				    .devices = 2,
				    .run_ns = test_ns() / 2 });
}

static void batched_user(void **state)
{
	(void)state;
	must_hold(&(struct config){ .flavour = &batched_flavour,
				    .options = exact,
				    .drivers = 2,
				    .devices = 1,
				    .batch_max = 64,
				    .batch_ns = 5000000,
				    .run_ns = test_ns() / 2 });
	must_hold(&(struct config){ .flavour = &batched_flavour,
				    .options = coarse,
				    .drivers = 3,
				    .devices = 2,
				    .batch_max = 256,
				    .batch_ns = 20000000,
				    .run_ns = test_ns() / 2 });
}

static void strict_kernel(void **state)
{
	(void)state;
	must_hold(&(struct config){ .flavour = &kernel_flavour,
				    .options = exact,
				    .drivers = 2,
				    .devices = 2,
				    .run_ns = test_ns() });
}

/*
 * The tests of the test: on a model that loses invalidations the same run must report it. It has
 * plenty of time for it, and takes little.
 */
static void must_be_caught(const struct flavour *flavour, const char *options)
{
	struct config config = { .flavour = flavour,
				 .options = options,
				 .drivers = 2,
				 .devices = 1,
				 .batch_max = 64,
				 .batch_ns = 5000000,
				 .run_ns = UINT64_C(20000000000),
				 .until_caught = true };
	struct stress *s = stress_run(&config);

	assert_true(atomic_load(&s->violations[OUTSIDE]) + atomic_load(&s->violations[ELSEWHERE]) +
			    atomic_load(&s->violations[CANARY]) >
		    0);
	/* And by nothing else: the mutant breaks the device's side only. */
	assert_int_equal(atomic_load(&s->violations[ERROR]), 0);
	assert_int_equal(atomic_load(&s->violations[TWICE]), 0);
	assert_int_equal(atomic_load(&s->violations[EARLY]), 0);
	stress_stop(s);
}

static void mutant_is_caught_user(void **state)
{
	(void)state;
	must_be_caught(&user_flavour, "break=drop-inval");
}

static void mutant_is_caught_batched(void **state)
{
	(void)state;
	must_be_caught(&batched_flavour, "break=drop-inval");
}

static void mutant_is_caught_kernel(void **state)
{
	(void)state;
	must_be_caught(&kernel_flavour, "break=drop-inval");
}

/* Flushes are lost and ranges are not: only where the engine flushes does it show. */
static void mutant_is_caught_flush(void **state)
{
	(void)state;
	must_be_caught(&batched_flavour, "break=drop-flush,iotlb_sets=8,iotlb_ways=4");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_user),
		cmocka_unit_test(strict_user_five_levels),
		cmocka_unit_test(batched_user),
		cmocka_unit_test(strict_kernel),
		cmocka_unit_test(mutant_is_caught_user),
		cmocka_unit_test(mutant_is_caught_batched),
		cmocka_unit_test(mutant_is_caught_kernel),
		cmocka_unit_test(mutant_is_caught_flush),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
