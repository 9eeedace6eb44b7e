/* SPDX-License-Identifier: BSD-3-Clause */
/* Stress: device threads, and their verdict on each access. See stress.h. */
#include "stress.h"

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

void *device_main(void *arg)
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
