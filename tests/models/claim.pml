/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fixed pages: entries of one page table that threads map and unmap without a lock, by
 * compare-and-swap, CLAIM, and stamps (engine/pgtable/walk.h, engine/user_map.c).
 *
 *   unmap           walk_claim, walk_clear (clear_range), inval_publish, queue_settle or not
 *   map             engine/user_map.c:enter; walk_map, set_entry, is_busy, undo, inval_stamp_wait
 *   window          engine/window.c:set_up, own_page, ioas_window_grant, ioas_window_revoke,
 *                   ioas_window_destroy
 *
 * Promises: of several threads that unmap a mapping one succeeds, and the others do not; what it
 * gets is one whole mapping; an entry is not written while a device may have what it translated
 * before (I1), whoever left it there: an unmap, or a map that failed half-way.
 *
 * `stale` holds the pages of which some device may have a translation that is gone from the table.
 * A mapping has one or two pages; the second has no START. Publishing and committing are a step
 * each (inval.pml). Compare-and-swap is the strong one: a weak one that fails for no reason looks
 * again.
 *
 * Every thread makes CALLS calls; an unmap is called for a mapping that is there. With
 * -DREMAP_EARLY=0 a range is mapped again only when all calls have returned that unmap what was
 * there. Mappings of one page do not need that. Larger ones do: walk_claim() looks at the rest of
 * the mapping before it claims the head, and if meanwhile another thread has unmapped it and
 * somebody has mapped there again, the head looks the same: the limit below. (To claim the head
 * first, then look at the rest, and to give the claim back, would not have it.)
 *
 * A window (-DWINDOW=1) takes an entry whatever it waits for; then it waits for readers, since an
 * unmap clears and publishes in one read-side section; then it commits. Without the grace period,
 * what is cleared and not yet published is not in that commit; and committing first, as the code
 * once did, leaves out what is unmapped before the entry is taken.
 *
 * Left out: upper levels, tables that come; the allocator's IOVAs, whose entries have one owner.
 *
 * run one-page -DPAGES=1
 * run two-pages -DPAGES=2 -DREMAP_EARLY=0 -DTHREADS=2 -DCALLS=3
 * run two-pages-three-threads -DPAGES=2 -DREMAP_EARLY=0 -DCALLS2=1
 * run window -DPAGES=1 -DWINDOW=1 -DTHREADS=2 -DCALLS=3
 * limit remap-early -DPAGES=2 -DREMAP_EARLY=1: pages_of
 * mutant CLAIM_BY_STORE -DPAGES=1: assertion violated
 * mutant CLAIM_NOT_SEEN -DPAGES=1: assertion violated
 * mutant ENTER_BY_STORE -DPAGES=1: assertion violated
 * mutant BUSY_NOT_ASKED -DPAGES=1: stale
 * mutant STAMP_WITHOUT_POSITION -DPAGES=1: stale
 * mutant STAMP_OF_LAST_PUBLICATION -DPAGES=1: stale
 * mutant UNDO_WITHOUT_STAMP -DPAGES=2 -DREMAP_EARLY=0 -DTHREADS=2 -DCALLS=3: stale
 * mutant NO_GRACE_PERIOD -DPAGES=1 -DWINDOW=1 -DTHREADS=2: stale
 * mutant COMMIT_FIRST -DPAGES=1 -DWINDOW=1 -DTHREADS=2: stale
 * mutant NO_START -DPAGES=2 -DREMAP_EARLY=0: assertion violated
 */
#ifndef PAGES
#define PAGES 2
#endif
#ifndef REMAP_EARLY
#define REMAP_EARLY 1
#endif
#ifndef THREADS
#define THREADS 3
#endif
#ifndef CALLS
#define CALLS 2
#endif
#ifndef CALLS2
#define CALLS2 CALLS /* of the third thread */
#endif
#ifndef WINDOW
#define WINDOW 0
#endif
#define SOURCES 3 /* of the threads, and of the one that revokes */
#define BIT(n)	(1 << (n))

/* Entries. */
#define PRESENT	       1
#define START	       2
#define CLAIM	       4
#define OF_WINDOW      8 /* INVAL_STAMP_WINDOW */
#define STAMP(s, n)    (16 * ((s) + 1) + (n))
#define IS_STAMP(e)    ((e) >= 16)
#define SOURCE_OF(e)   ((e) / 16 - 1)
#define POSITION_OF(e) ((e) % 16)

#ifdef MUTANT_NO_START
#define FIRST (PRESENT)
#else
#define FIRST (PRESENT | START)
#endif
#define BEHIND(e) (completed[SOURCE_OF(e)] < POSITION_OF(e))

byte entry[2];
byte stale;
byte section; /* threads that have cleared something, and not published it yet */
byte published[SOURCES], completed[SOURCES];
byte asked[SOURCES]; /* pages in publications that are not complete */

/* What a user knows: pages of the mapping that begins here, 0: none. */
byte pages_of[2];
byte deciding; /* threads that unmap and do not know yet whether they are first */
byte late;     /* those that are not */

inline publish(s, set)
{
	d_step {
		asked[s] = asked[s] | (set);
		published[s]++;
		assert(published[s] < 15)
	}
}

inline commit(s)
{
	d_step {
		stale = stale & ~asked[s];
		completed[s] = published[s];
		asked[s] = 0
	}
}

inline commit_all()
{
	commit(0);
	commit(1);
	commit(2)
}

/* What is left in entries that are cleared now. */
#ifdef MUTANT_STAMP_WITHOUT_POSITION
#define STAMP_NOW 0
#elif defined(MUTANT_STAMP_OF_LAST_PUBLICATION)
#define STAMP_NOW STAMP(t, published[t])
#else
#define STAMP_NOW STAMP(t, published[t] + 1)
#endif
#ifdef MUTANT_UNDO_WITHOUT_STAMP
#define UNDO_STAMP 0
#else
#define UNDO_STAMP STAMP_NOW
#endif

/* Clear what has been entered or claimed of [first, to). */
inline clear(to, stamp)
{
	d_step { at = first; section = section | BIT(t) };
	do
	:: at < to -> d_step { entry[at] = stamp; stale = stale | BIT(at); at++ }
	:: else -> break
	od;
	publish(t, (BIT(to) - 1) & ~(BIT(first) - 1));
	d_step { section = section & ~BIT(t); at = 0 }
}

#define IS_LEAF(e)   ((e) < OF_WINDOW && ((e) & PRESENT))
#define CONTINUES(e) (IS_LEAF(e) && !((e) & START))
#ifdef MUTANT_CLAIM_NOT_SEEN
#define CLAIMABLE(e) IS_LEAF(e)
#else
#define CLAIMABLE(e) (IS_LEAF(e) && !((e) & CLAIM))
#endif

inline claim()
{
	old = entry[first];
	won = CLAIMABLE(old) && (old & START);
#if PAGES > 1
	/* The rest belongs to the same mapping, and the mapping ends where the range does. */
	if
	:: won && end == first + 2 -> won = CONTINUES(entry[first + 1])
	:: won && end < PAGES	   -> won = !CONTINUES(entry[end])
	:: else
	fi;
#endif
	d_step {
#ifndef MUTANT_CLAIM_BY_STORE
		won = won && entry[first] == old;
#endif
		if
		:: won ->
			entry[first] = old | CLAIM;
			assert(pages_of[first] == end - first);
			pages_of[first] = 0;
			late = late | (deciding & ~BIT(t))
		:: else
		fi;
		/* Who was alone has succeeded. */
		assert(won || (late & BIT(t)));
		late = late & ~BIT(t);
		deciding = deciding & ~BIT(t);
		old = 0
	}
}

inline unmap()
{
	claim();
	if
	:: won ->
		clear(end, STAMP_NOW);
		if
		:: commit(t)
		:: true /* BATCHED */
		fi
	:: else
	fi;
	won = false
}

inline wait()
{
	do
	:: BEHIND(waits) -> commit_all()
	:: else -> break
	od;
	skip /* spin: a d_step may not follow a loop */
}

inline map()
{
	do
	:: i < end ->
		old = entry[i];
		if
		:: IS_STAMP(old) ->
#ifndef MUTANT_BUSY_NOT_ASKED
			waits = (BEHIND(old) -> old : 0)
#else
			skip
#endif
		:: else
		fi;
		if
		:: old && !IS_STAMP(old) -> break /* -EEXIST */
		:: IS_STAMP(old) && waits ->
			if
			:: i > first -> clear(i, UNDO_STAMP)
			:: else
			fi;
			wait();
			d_step { i = first; waits = 0 }
		:: (IS_STAMP(old) || !old) && !waits ->
			d_step {
#if !REMAP_EARLY
				!late;
#endif
				if
#ifdef MUTANT_ENTER_BY_STORE
				:: true ->
#else
				:: entry[i] == old ->
#endif
					assert(!(stale & BIT(i)));
					entry[i] = (i == first -> FIRST : PRESENT);
					i++;
					if
					:: i == end ->
						assert(!pages_of[first]);
						pages_of[first] = end - first
					:: else
					fi
				:: else /* not reached with MUTANT_ENTER_BY_STORE */
				fi
			}
		fi;
		old = 0
	:: else -> break
	od;
	if
	:: i > first && i < end -> clear(i, UNDO_STAMP)
	:: else
	fi;
	d_step { old = 0; i = 0 }
}

proctype thread(byte t)
{
	byte calls, first, end, i, at, old, waits;
	bool won;

	do
	:: calls < (t < 2 -> CALLS : CALLS2) ->
		calls++;
		if
		:: d_step { first = 0; end = 1 }
#if PAGES > 1
		:: d_step { first = 0; end = 2 }
		:: d_step { first = 1; end = 2 }
#endif
		fi;
		if
		:: d_step { pages_of[first] == end - first -> deciding = deciding | BIT(t) };
			unmap()
		:: i = first; map()
		fi
	:: else -> break
	od
}

#if WINDOW
proctype window()
{
	byte old;
	bool mine;

#ifdef MUTANT_COMMIT_FIRST
	commit_all();
#endif
	do
	:: old = entry[0];
		if
		:: old && !IS_STAMP(old) -> break /* -EEXIST */
		:: !old || IS_STAMP(old) ->
			d_step {
				if
				:: entry[0] == old -> entry[0] = OF_WINDOW; mine = true
				:: else
				fi
			};
			if
			:: mine -> break
			:: else
			fi
		fi
	od;
#ifndef MUTANT_COMMIT_FIRST
	if
	:: mine ->
#ifndef MUTANT_NO_GRACE_PERIOD
		!(section & BIT(0));
		!(section & BIT(1));
		!(section & BIT(2));
#endif
		commit_all()
	:: else
	fi;
#endif
	if
	:: mine ->
		d_step { assert(!(stale & 1)); entry[0] = PRESENT | START | CLAIM };
		d_step { entry[0] = OF_WINDOW; stale = stale | 1 };
		publish(THREADS, 1);
		/* Granted again at once: what may be cached is the same translation. */
		entry[0] = PRESENT | START | CLAIM;
		d_step { entry[0] = OF_WINDOW; stale = stale | 1 };
		publish(THREADS, 1);
		commit_all();
		entry[0] = 0
	:: else
	fi
}
#endif

init
{
	atomic {
		entry[0] = FIRST;
#if PAGES > 1
		entry[1] = PRESENT;
#endif
		pages_of[0] = PAGES;
		run thread(0);
		run thread(1);
#if THREADS > 2
		run thread(2);
#endif
#if WINDOW
		run window();
#endif
		skip
	}
}
