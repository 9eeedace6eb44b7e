/* SPDX-License-Identifier: BSD-3-Clause */
/* Stress: driver threads. See stress.h. */
#include "stress.h"

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
	bool fixed = !d->s->config.plain && !draw(&d->seed, 5);
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
	if (s->config.flavour->kind != IOAS_KIND_USER || s->config.plain)
		return true;
	if (ioas_window_create(s->r.as, &opts, &d->window))
		return false;
	for (unsigned int i = 0; i < SLOTS; i++)
		atomic_store(&s->owner[(ioas_window_iova(d->window) - BASE) / PAGE + i],
			     owner_word(&d->pieces[BUFFERS + i]));
	return true;
}

void *driver_main(void *arg)
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
