/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Chunks of IOVA units (engine/iova.h, engine/iova.c): two threads take units, unmap each other's,
 * and give them back; a chunk goes back whole.
 *
 *   open a chunk    engine/iova.c:iova_take_slow, find_chunk, chunk_begin
 *   hand out        engine/iova.h:iova_take
 *   unmap           engine/user_map.c:clear_run, which puts the unit into this thread's quarantine
 *   give()          engine/iova.h:iova_give, called by engine/queue.c:queue_harvest
 *   recycle()       engine/iova.c:iova_chunk_recycle, spill
 *   close unused    engine/iova.c:close_unused, when another class has run out of space
 *   drain           engine/iova.c:iova_magazines_drain; the thread goes, and comes again
 *
 * Promises: no unit is handed out while it is out or in a quarantine, and not before the thread
 * that gave it back has cleared its entry as others see it; a chunk is in one place at a time;
 * a chunk that is in no place has units which are out, and goes back with the last of them; its
 * counter says at any time how many units that are, so nothing is lost. Threads go on for ever:
 * the search is over all states, not over so many calls.
 *
 * The release of the decrement empties the thread's store buffer of cleared entries.
 *
 * Left out: that a unit leaves the quarantine only after its invalidation (inval.pml); blocks that
 * are added and reclaimed, which happens under the lock to chunks in lists only; the order of
 * lists.
 *
 * run units -DCHUNKS=3
 * run small-aperture -DCHUNKS=2 -DMAGAZINE_MAX=0
 * mutant DECREMENT_NOT_ATOMIC: assertion violated
 * mutant DECREMENT_RELAXED: uncleared
 * mutant LIVE_FROM_ZERO: quarantine
 * mutant LIVE_NOT_SET: assertion violated
 * mutant RECYCLE_WHEN_ONE_IS_LEFT: assertion violated
 * mutant DEPOT_WITHOUT_LOCK: place
 * mutant CLOSE_WITHOUT_LOOKING: assertion violated
 * mutant DRAIN_FORGETS_UNITS: assertion violated
 */
#ifndef CHUNKS
#define CHUNKS 3
#endif
#ifndef MAGAZINE_MAX
#define MAGAZINE_MAX 1
#endif
#define UNITS 2 /* of a chunk */
#define NONE  CHUNKS

#define UNIT(c, n) (1 << ((c) * UNITS + (n)))
#define ALL_OF(c)  (UNIT(c, 0) | UNIT(c, 1))
#define COUNT(set, c) ((((set) & UNIT(c, 0)) != 0) + (((set) & UNIT(c, 1)) != 0))

/* Places: a thread's magazine has it open, or in its list; the depot. */
#define NOWHERE	 0
#define DEPOT	 1
#define OPEN(t)	 (2 + (t))
#define LIST(t)	 (4 + (t))

byte place[CHUNKS] = DEPOT;
byte live[CHUNKS];
byte opened[2] = NONE; /* iova_magazine.open while there are units in it */
byte left[2];
byte out;	   /* units that somebody has mapped */
byte quarantine[2]; /* units that a thread has unmapped */
byte uncleared;	   /* of those, entries that others may still see, or see again */
byte recycling[2] = NONE;

#define IN_USE (out | quarantine[0] | quarantine[1])

inline move(c, from, to)
{
	assert(place[c] == from);
	place[c] = to
}

inline begin(c, from)
{
	move(c, from, OPEN(t));
#ifdef MUTANT_LIVE_FROM_ZERO
	live[c] = 0;
#elif !defined(MUTANT_LIVE_NOT_SET)
	live[c] = UNITS;
#endif
	opened[t] = c;
	left[t] = UNITS
}

inline spill()
{
	if
	:: count > MAGAZINE_MAX ->
		i = 0;
		do
		:: i < CHUNKS ->
			if
			:: place[i] == LIST(t) && count > MAGAZINE_MAX / 2 -> place[i] = DEPOT; count--
			:: else
			fi;
			i++
		:: else -> break
		od
	:: else
	fi
}

inline count_list()
{
	i = 0;
	count = 0;
	do
	:: i < CHUNKS -> count = count + (place[i] == LIST(t)); i++
	:: else -> break
	od
}

/* The list is this thread's, the depot is under the lock: one step. */
inline recycle(c)
{
	d_step {
		recycling[t] = NONE;
		if
		:: !left[t] -> begin(c, NOWHERE)
		:: else ->
			move(c, NOWHERE, LIST(t));
			count_list();
			spill();
			i = 0;
			count = 0
		fi;
		c = NONE
	}
}

/* Units of @c that were unmapped by this thread. */
inline give(c)
{
#ifdef MUTANT_DECREMENT_NOT_ATOMIC
	value = live[c];
#endif
	d_step {
#ifndef MUTANT_DECREMENT_NOT_ATOMIC
		value = live[c];
#endif
		count = COUNT(quarantine[t], c);
		live[c] = value - count;
#ifndef MUTANT_DECREMENT_RELAXED
		uncleared = uncleared & ~quarantine[t];
#endif
		quarantine[t] = quarantine[t] & ~ALL_OF(c);
		if
#ifdef MUTANT_RECYCLE_WHEN_ONE_IS_LEFT
		:: value - count <= 1 && place[c] != OPEN(1 - t) && place[c] != OPEN(t) ->
#else
		:: value == count ->
#endif
			recycling[t] = c
		:: else -> c = NONE
		fi;
		value = 0;
		count = 0
	};
	if
	:: c != NONE -> recycle(c)
	:: else
	fi
}

/* Any chunk for which @condition holds, which names it i. */
inline choose(condition)
{
	i = 0;
	do
	:: i < CHUNKS && !(condition) -> i++
	:: i < CHUNKS && (condition) -> break
	:: i < CHUNKS && (condition) -> i++
	:: i == CHUNKS -> break
	od;
	c = i;
	i = 0
}

proctype thread(byte t)
{
	byte c = NONE, i, count, value;

	do
	/* Open a chunk, of the list or the depot. */
	:: atomic {
		!left[t] && c == NONE ->
		choose(place[i] == LIST(t));
		if
		:: c != NONE -> begin(c, LIST(t)); c = NONE
		:: else
		fi
	}
	:: atomic {
		!left[t] && c == NONE ->
		choose(place[i] == DEPOT);
#ifndef MUTANT_DEPOT_WITHOUT_LOCK
		if
		:: c != NONE -> begin(c, DEPOT); c = NONE
		:: else
		fi
	}
#else
	};
	if
	:: d_step { c != NONE -> begin(c, DEPOT); c = NONE }
	:: else
	fi
#endif
	/* Hand out. */
	:: atomic {
		left[t] > 0 ->
		assert(!(IN_USE & UNIT(opened[t], UNITS - left[t])));
		assert(!(uncleared & UNIT(opened[t], UNITS - left[t])));
		out = out | UNIT(opened[t], UNITS - left[t]);
#ifdef MUTANT_LIVE_FROM_ZERO
		live[opened[t]]++;
#endif
		left[t]--;
		if
		:: !left[t] ->
			/* Nobody looks at `open` any more. */
			place[opened[t]] = NOWHERE;
			opened[t] = NONE
		:: else
		fi
	}
	/* Unmap: one claims it, whoever mapped it. */
	:: atomic {
		out ->
		choose(out & UNIT(i, 0));
		if
		:: c != NONE ->
			out = out & ~UNIT(c, 0);
			quarantine[t] = quarantine[t] | UNIT(c, 0);
			uncleared = uncleared | UNIT(c, 0);
			c = NONE
		:: else
		fi
	}
	:: atomic {
		out ->
		choose(out & UNIT(i, 1));
		if
		:: c != NONE ->
			out = out & ~UNIT(c, 1);
			quarantine[t] = quarantine[t] | UNIT(c, 1);
			uncleared = uncleared | UNIT(c, 1);
			c = NONE
		:: else
		fi
	}
	/* Harvest. */
	:: atomic { quarantine[t] -> choose(quarantine[t] & ALL_OF(i)) };
		if
		:: c != NONE -> give(c)
		:: else
		fi
	/* Another class needs space: a chunk of which nothing is in use. */
#ifdef MUTANT_CLOSE_WITHOUT_LOOKING
	:: d_step {
		left[t] ->
#else
	:: d_step {
		left[t] && live[opened[t]] == left[t] ->
#endif
		move(opened[t], OPEN(t), LIST(t));
		opened[t] = NONE;
		left[t] = 0
	}
	/* Drain: the open chunk's units, then the list to the depot under the lock. */
	:: d_step {
		left[t] ->
		c = opened[t];
		move(c, OPEN(t), NOWHERE);
#ifndef MUTANT_DRAIN_FORGETS_UNITS
		live[c] = live[c] - left[t];
#endif
		if
		:: !live[c] -> move(c, NOWHERE, LIST(t))
		:: else
		fi;
		opened[t] = NONE;
		left[t] = 0;
		c = NONE
	};
		d_step {
			i = 0;
			do
			:: i < CHUNKS ->
				if
				:: place[i] == LIST(t) -> place[i] = DEPOT
				:: else
				fi;
				i++
			:: else -> break
			od;
			i = 0
		}
	od
} /* not reached */

/* Every chunk adds up, always. */
#define USED(c)	     (COUNT(out, c) + COUNT(quarantine[0], c) + COUNT(quarantine[1], c))
#define HELD(c, t)   (place[c] == OPEN(t) && opened[t] == c && live[c] == left[t] + USED(c))
#define IN_A_LIST(c) ((place[c] == DEPOT || place[c] == LIST(0) || place[c] == LIST(1)) && !USED(c))
#define ALL_OUT(c)   (place[c] == NOWHERE && live[c] == USED(c) && \
		      (live[c] || recycling[0] == c || recycling[1] == c))
#define ADDS_UP(c)   (HELD(c, 0) || HELD(c, 1) || IN_A_LIST(c) || ALL_OUT(c))

proctype observer()
{
	bool adds_up;

end:	atomic {
		!(ADDS_UP(0) && ADDS_UP(1) && ADDS_UP(CHUNKS - 1)) -> /* not reached */
		assert(adds_up) /* not reached */
	}
} /* not reached */

init
{
	atomic {
		run thread(0);
		run thread(1);
#ifndef MUTANT_LIVE_FROM_ZERO /* its counter is another */
		run observer()
#endif
	}
}
