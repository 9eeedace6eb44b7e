/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Invalidation by group commit (engine/inval.h, engine/inval.c): two queues, and a thread that
 * completes everything (the service thread, ioas_mem_free(), a window), commit through the lanes.
 *
 *   unmap()      engine/pgtable/walk.h:clear_range, then inval_add, inval_add_slow, inval_publish
 *   commit()     inval_commit; lane_try, take, take_waiting, send (call), finish, want as there
 *   everything   inval_commit_all, take_all
 *
 * Promises: what `completed` covers no device can reach, neither through memory nor through a
 * cache (I1, I2); `completed` and `head` only grow; a call that fails loses nothing, the next one
 * carries it; every inval_commit() returns (under weak fairness, as long as work ends).
 *
 * Weak memory: release stores and acquire loads keep program order here, which is what they are
 * for. Where a mutant drops one, it puts the access where the processor may then put it. Memory is
 * one for all threads (multi-copy atomic, as on x86-64 and Armv8).
 *
 * One step is one access to what is shared, but for these, which nobody can tell apart: clear and
 * ring entry (both unseen before tail; cleared last is the worst case); tail, skipped, and the
 * ring up to tail (nobody else writes that part); head and completed of one source; `waiting`,
 * which only says that `wanted` is not empty, and `wanted`.
 *
 * Devices do their worst: `reach` holds every page that some device may have cached or may find in
 * the table, so a page leaves it only when an invalidation that covers it meets a cleared entry.
 *
 * Left out: neighbours merged and batches cut into calls (a call is a set of pages), sources that
 * change hands, the backend's own locking (a call is one step, or fails without effect). A
 * publication is one page; a ring has two places.
 *
 * run one-lane -DLANES=1 -DPAGES0=2 -DPAGES1=1
 * run two-lanes -DLANES=2 -DPAGES0=1 -DPAGES1=1
 * run two-lanes-queues -DLANES=2 -DPAGES0=4 -DPAGES1=3 -DALL=0
 * run full-ring-one-lane -DLANES=1 -DPAGES0=4 -DPAGES1=0
 * run full-ring-two-lanes -DLANES=2 -DPAGES0=4 -DPAGES1=0
 * live one-lane-returns -DLANES=1 -DPAGES0=1 -DPAGES1=1
 * live two-lanes-return -DLANES=2 -DPAGES0=1 -DPAGES1=1
 * mutant TAIL_BEFORE_PUBLISHED -DLANES=1: reach
 * mutant TAIL_RELAXED -DLANES=1: reach
 * mutant PUBLISHED_RELAXED -DLANES=1: reach
 * mutant CLEAR_AFTER_PUBLISH -DLANES=1: reach
 * mutant COMPLETED_BEFORE_CALL -DLANES=1: reach
 * mutant COMPLETED_ON_ERROR -DLANES=1: reach
 * mutant HEAD_ON_ERROR -DLANES=1: reach
 * mutant NOT_TAKEN -DLANES=2: assertion violated
 * mutant UNTAKE_FIRST -DLANES=2: assertion violated
 * mutant SKIP_MARK_IGNORED -DLANES=1 -DPAGES0=3 -DPAGES1=0: reach
 * mutant RING_OVERWRITTEN -DLANES=1 -DPAGES0=3 -DPAGES1=0: reach
 * mutant live TAKEN_ON_ERROR -DLANES=1 -DPAGES1=0: acceptance cycle
 * mutant live LANE_KEPT -DLANES=1 -DPAGES1=0: acceptance cycle
 */
#ifndef LANES
#define LANES 2
#endif
#ifndef PAGES0
#define PAGES0 2 /* of each queue, one publication each; with 3 its ring is full; 0: no queue */
#define PAGES1 1
#endif
#ifndef ALL
#define ALL 1 /* threads that complete everything */
#endif
#define FAILURES 1 /* calls that fail, in all */

#define RING	 2
#define SOURCES	 2
#define NO_LANE	 LANES
#define BIT(n)	 (1 << (n))
#define PAGE(s, n) ((s) * 4 + (n))
#define PAGES(s, n) ((BIT(n) - 1) << ((s) * 4)) /* of its first n publications */

typedef source_t {
	/* Written by the queue's thread. */
	byte tail;
	byte skipped;
	byte published;
	byte ring[RING];
	/* Written by whoever has taken it. */
	byte completed;
	byte head;
	byte taking_published;
	byte taking_tail;
	bool taken
};

source_t source[SOURCES];
bool busy[LANES];
byte wanted;
byte present = PAGES(0, PAGES0) | PAGES(1, PAGES1);
byte reach = PAGES(0, PAGES0) | PAGES(1, PAGES1);
byte failures;
byte finished;

#define SAFE(s, n) (!(reach & PAGES(s, n)))

inline lane_try(hint)
{
	atomic {
		if
		:: !busy[hint % LANES] -> lane = hint % LANES; busy[lane] = true
		:: else
		fi
	};
#if LANES > 1
	atomic {
		if
		:: lane == NO_LANE && !busy[(hint + 1) % LANES] ->
			lane = (hint + 1) % LANES;
			busy[lane] = true
		:: else
		fi
	}
#endif
}

inline take(s)
{
	if
#ifdef MUTANT_NOT_TAKEN
	:: !(mine & BIT(s)) ->
#else
	:: atomic { !source[s].taken -> source[s].taken = true };
#endif
#ifdef MUTANT_TAIL_BEFORE_PUBLISHED
		source[s].taking_tail = source[s].tail;
		source[s].taking_published = source[s].published;
#else
		source[s].taking_published = source[s].published;
#endif
		d_step {
#ifndef MUTANT_TAIL_BEFORE_PUBLISHED
			source[s].taking_tail = source[s].tail;
#endif
#ifndef MUTANT_SKIP_MARK_IGNORED
			all = all || source[s].skipped > source[s].head;
#endif
			at = source[s].head;
			do
			:: at < source[s].taking_tail ->
				set = set | BIT(source[s].ring[at % RING]);
				at++
			:: else -> break
			od;
			at = 0;
			mine = mine | BIT(s)
		}
	:: else
	fi
}

inline take_waiting()
{
	bits = wanted;
	if
	:: bits & BIT(0) -> take(0)
	:: else
	fi;
	if
	:: bits & BIT(1) -> take(1)
	:: else
	fi;
	bits = 0
}

inline call()
{
	if
	:: !set && !all /* all of it had gone with earlier calls */
	:: d_step { set || all -> reach = (all -> present : (reach & ~set) | present) }
	:: d_step { (set || all) && failures < FAILURES -> failures++; failed = true }
	fi
}

inline store_head(s)
{
	assert(source[s].taking_tail >= source[s].head);
	source[s].head = source[s].taking_tail
}

inline store_completed(s)
{
	assert(source[s].taking_published >= source[s].completed);
	source[s].completed = source[s].taking_published;
	assert(SAFE(s, source[s].completed))
}

inline finish_one(s)
{
	if
	:: mine & BIT(s) ->
#ifdef MUTANT_UNTAKE_FIRST
		source[s].taken = false;
#endif
		d_step {
			if
			:: !failed ->
				store_head(s);
#ifndef MUTANT_COMPLETED_BEFORE_CALL
				store_completed(s)
#endif
			:: else ->
#ifdef MUTANT_HEAD_ON_ERROR
				store_head(s);
#endif
#ifdef MUTANT_COMPLETED_ON_ERROR
				store_completed(s);
#endif
				skip
			fi
		}
#ifdef MUTANT_TAKEN_ON_ERROR
		source[s].taken = failed
#elif !defined(MUTANT_UNTAKE_FIRST)
		source[s].taken = false
#endif
	:: else
	fi
}

inline finish()
{
#ifdef MUTANT_COMPLETED_BEFORE_CALL
	d_step {
		if
		:: mine & BIT(0) -> store_completed(0)
		:: else
		fi;
		if
		:: mine & BIT(1) -> store_completed(1)
		:: else
		fi
	}
#endif
	call();
	finish_one(0);
	finish_one(1);
	d_step { set = 0; all = false; mine = 0 }
}

inline lane_leave()
{
	d_step {
#ifdef MUTANT_LANE_KEPT
		busy[lane] = failed;
#else
		busy[lane] = false;
#endif
		lane = NO_LANE
	}
}

inline commit(s, position)
{
	failed = false;
	do
	:: source[s].completed >= position -> break
	:: else ->
		lane_try(s);
		if
		:: lane == NO_LANE && waits
		:: lane == NO_LANE && !waits -> d_step { waits = true; wanted = wanted | BIT(s) }
		:: lane != NO_LANE && source[s].taken ->
			lane_leave()
		:: lane != NO_LANE && !source[s].taken ->
			take(s);
			take_waiting();
			finish();
			lane_leave();
			if
			:: failed -> break
			:: else
			fi
		fi
	od;
	if
	:: waits -> d_step { wanted = wanted & ~BIT(s); waits = false }
	:: else
	fi
}

inline clear(s)
{
	present = present & ~BIT(PAGE(s, done))
}

/* The range of one page. */
inline add(s)
{
	if
	:: next - head_seen >= RING -> head_seen = source[s].head
	:: else
	fi;
	d_step {
#ifndef MUTANT_CLEAR_AFTER_PUBLISH
		clear(s);
#endif
		if
#ifndef MUTANT_RING_OVERWRITTEN
		:: next - head_seen >= RING ->
			next++;
			source[s].skipped = next
#endif
		:: else ->
			source[s].ring[next % RING] = PAGE(s, done);
			next++
		fi
	}
}

inline unmap(s)
{
#ifdef MUTANT_TAIL_RELAXED
	source[s].tail = next + 1;
	add(s);
	source[s].published = done + 1;
#elif defined(MUTANT_PUBLISHED_RELAXED)
	add(s);
	source[s].published = done + 1;
	source[s].tail = next;
#else
	add(s);
	source[s].tail = next;
	source[s].published = done + 1;
#endif
#ifdef MUTANT_CLEAR_AFTER_PUBLISH
	clear(s);
#endif
	done++
}

proctype queue(byte q; byte pages)
{
	byte next, head_seen, done;
	byte lane = NO_LANE, set, mine, bits, at;
	bool all, waits, failed;

	do
	:: done < pages ->
		unmap(q);
		if
		:: commit(q, done) /* STRICT, or the bound of BATCHED */
		:: done < pages    /* BATCHED */
		fi
	:: done == pages && (pages == 0 || !failed) -> break
	:: done == pages && failed -> commit(q, done) /* ioas_flush(): it is still there */
	od;
	assert(source[q].completed == pages && SAFE(q, pages));
	finished++
}

#define LEFT(s) (source[s].completed < position[s])

proctype everything()
{
	byte position[SOURCES];
	byte lane = NO_LANE, set, mine, at;
	bool all, failed;

	position[0] = source[0].published;
	position[1] = source[1].published;
	do
	:: !failed && (LEFT(0) || LEFT(1)) ->
		lane_try(0);
		if
		:: lane != NO_LANE ->
			if
			:: LEFT(0) -> take(0)
			:: else
			fi;
			if
			:: LEFT(1) -> take(1)
			:: else
			fi;
			finish();
			lane_leave()
		:: else
		fi
	:: else -> break
	od;
	assert(failed || (SAFE(0, position[0]) && SAFE(1, position[1])));
	finished++
}

init
{
	atomic {
		run queue(0, PAGES0);
		run queue(1, PAGES1);
#if ALL
		run everything()
#endif
	}
}

ltl returns { <> (finished == SOURCES + ALL) }
