/* SPDX-License-Identifier: BSD-3-Clause */
/* Stress: what every piece may be reached by, and when. See stress.h. */
#include "stress.h"

const char *violation_name(enum violation what)
{
	static const char *const names[VIOLATIONS] = {
		"outside", "refused", "elsewhere", "twice", "early", "canary", "error", "lost",
	};

	return names[what];
}

void violation(struct stress *s, enum violation what, const char *format, ...)
{
	va_list args;

	atomic_fetch_add(&s->violations[what], 1);
	pthread_mutex_lock(&s->lock);
	if (!atomic_load(&s->any)) {
		int length = snprintf(s->first, sizeof(s->first), "%s: ", violation_name(what));

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

void die(struct piece *piece)
{
	enter(piece, DEAD);
	mark(piece, CANARIED);
}

void check_canary(struct piece *piece)
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

void check_written(struct piece *piece)
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

void before_map(struct piece *piece)
{
	bool dead = state_of(piece) == DEAD;

	if (dead)
		check_canary(piece);
	enter(piece, MOVING);
	mark(piece, STAMPED);
}

/* The library has handed out the range: was it anybody's, and was it done with? */
void check_handed_out(struct piece *piece, ioas_iova_t iova, unsigned int pages)
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

void mapped(struct piece *piece, ioas_iova_t iova, unsigned int pages)
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

void unmapped(struct piece *piece)
{
	if (batched(piece->driver->s))
		expose(piece);
	else
		die(piece);
}

void disown(struct piece *piece)
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

void leave_ticket(struct piece *piece)
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
void settle(struct piece *piece)
{
	if (!atomic_load(&piece->exposed) || !ioas_ticket_done(piece->driver->q, piece->ticket))
		return;
	atomic_store(&piece->exposed, false);
	if (state_of(piece) == EXPOSED)
		die(piece);
}
