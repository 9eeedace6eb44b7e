/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that is freed while threads map and unmap it (engine/mem.c:leave_parent,
 * engine/user_map.c).
 *
 *   map             engine/user_map.c:user_map_batch: vamap_find, the entry; or undo() after it
 *   unmap           engine/user_map.c:user_unmap_batch: claim_all, clear_run, inval_publish
 *   settle          engine/queue.c:queue_settle, STRICT; or later, BATCHED
 *   free            engine/mem.c:ioas_mem_free, leave_parent: parent_hide, urcu_bp_synchronize_rcu,
 *                   parent_in_use, parent_settle, parent_unmap, mem_remove
 *
 * Promises: when the free has returned success, no entry points to the memory, no device reaches
 * it, and no thread has it mapped; a thread that finds the memory has mapped it before the free
 * looks, or maps it never.
 *
 * What is cleared in a section and not yet published when the free looks is in no entry, and in no
 * invalidation that parent_settle() would wait for. So there is a second grace period, between
 * looking and settling. (Without it, the promise of be_ops.unmap would have to cover it:
 * translations are gone from every cache, those of children included: -DUNMAP_DROPS=1.)
 *
 * Every thread has an IOVA of its own. `reach` holds the IOVAs through which some device may have
 * the memory cached or finds it in the table. Sections and grace periods are RCU's; what a section
 * has stored is visible when the grace period has ended. A commit is one step (inval.pml).
 *
 * Left out: windows and KERNEL mappings, which are counted (mem_use); what a failed free shows
 * again is in the cache as before.
 *
 * run as-mem-c -DSECOND_GRACE=1
 * run backend-drops-children -DUNMAP_DROPS=1
 * limit neither: reach
 * mutant NO_GRACE_PERIOD -DUNMAP_DROPS=1: assertion violated
 * mutant LOOK_BEFORE_HIDE -DUNMAP_DROPS=1: assertion violated
 * mutant FIND_OUTSIDE_SECTION -DUNMAP_DROPS=1: assertion violated
 * mutant NOT_HIDDEN -DUNMAP_DROPS=1: assertion violated
 * mutant UNPIN_BEFORE_SETTLE -DSECOND_GRACE=1: assertion violated
 * mutant NO_SETTLE -DSECOND_GRACE=1: assertion violated
 * mutant PUBLISH_OUTSIDE_SECTION -DSECOND_GRACE=1: assertion violated
 */
#ifndef UNMAP_DROPS
#define UNMAP_DROPS 0
#endif
#ifndef SECOND_GRACE
#define SECOND_GRACE 0
#endif
#define THREADS 2
#define BIT(t)	(1 << (t))

bool cached = true; /* the parent's mapping cache has the memory */
byte present;	    /* IOVAs whose entry points to it */
byte reach;
byte published;	    /* IOVAs in an invalidation that was published and is not complete */
byte mapped;	    /* IOVAs of mappings whose call has returned, or is about to */
byte section;	    /* threads in a read-side section */
byte waited_for;    /* of these, by the grace period */
bool freed;
bool failing;

inline read_lock(t) { section = section | BIT(t) }
inline read_unlock(t)
{
	d_step { section = section & ~BIT(t); waited_for = waited_for & ~BIT(t) }
}

inline synchronize()
{
	waited_for = section;
	!waited_for
}

/* What the invalidation of @set drops; the entry decides what comes back. */
inline drop(set)
{
	d_step { reach = (reach & ~(set)) | present; published = published & ~(set) }
}

/* Clear, and publish what that asks for. */
inline clear(t)
{
	present = present & ~BIT(t);
#ifdef MUTANT_PUBLISH_OUTSIDE_SECTION
	read_unlock(t);
	published = published | BIT(t)
#else
	published = published | BIT(t);
	read_unlock(t)
#endif
}

proctype thread(byte t)
{
	bool found;

	/* An IOVA is mapped again after its invalidation only (claim.pml). */
end:	do
	:: !(mapped & BIT(t)) && !(published & BIT(t)) ->
#ifdef MUTANT_FIND_OUTSIDE_SECTION
		found = cached;
		read_lock(t);
#else
		read_lock(t);
		found = cached;
#endif
		if
		:: found ->
			assert(!freed);
			d_step { present = present | BIT(t); reach = reach | BIT(t) };
			if
			:: d_step { true -> mapped = mapped | BIT(t) };
				read_unlock(t)
			:: clear(t) /* the rest of the call fails */
			fi
		:: else -> read_unlock(t)
		fi;
		found = false
	:: mapped & BIT(t) ->
		read_lock(t);
		mapped = mapped & ~BIT(t);
		clear(t)
	:: published & BIT(t) -> drop(BIT(t))
	od
} /* not reached */

inline hide()
{
#ifndef MUTANT_NOT_HIDDEN
	cached = false
#else
	skip
#endif
}

inline settle()
{
	i = 0;
	do
	:: i < THREADS && !failing ->
		if
		:: published & BIT(i) -> drop(published & BIT(i))
		:: else
		fi;
		i++
	:: i < THREADS && !failing -> failing = true
	:: failing || i == THREADS -> break
	od
}

inline unmap_parent()
{
#if UNMAP_DROPS
	reach = present
#else
	skip
#endif
}

inline remove()
{
	d_step {
		freed = true;
		assert(!(reach & 3) && !present);
		assert(!mapped)
	}
}

proctype free()
{
	byte i;
	bool busy;

	do
	:: !freed ->
#ifdef MUTANT_LOOK_BEFORE_HIDE
		busy = present & BIT(0);
		busy = busy || (present & BIT(1));
		hide();
		synchronize();
#else
		hide();
#ifndef MUTANT_NO_GRACE_PERIOD
		synchronize();
#endif
		busy = present & BIT(0);
		busy = busy || (present & BIT(1));
#endif
		if
		:: !busy ->
#if SECOND_GRACE
			synchronize();
#endif
#ifdef MUTANT_UNPIN_BEFORE_SETTLE
			remove();
#endif
#ifndef MUTANT_NO_SETTLE
			settle();
#endif
			if
			:: !failing -> unmap_parent(); remove()
			:: else
			fi
		:: else
		fi;
		if
		:: !freed -> cached = true /* parent_show() */
		:: else
		fi;
		d_step { busy = false; failing = false; i = 0 }
	:: freed -> break
	od;
	/* Nor later. */
end:	atomic {
		reach || present -> /* not reached */
		assert(!freed)	    /* not reached */
	}
} /* not reached */

init
{
	atomic {
		run thread(0);
		run thread(1);
		run free()
	}
}
