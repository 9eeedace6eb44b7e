/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Group commit among more queues than this machine has processors: engine/inval.c itself, each
 * queue a coroutine on a processor of its own, in virtual time. Nothing here depends on the
 * machine: the same figures in each run.
 *
 * A queue maps and unmaps a page, strictly, again and again: WORK_NS of its own, then a commit. A
 * request costs call_ns and RANGE_NS for each range, and requests take turns, as those of one
 * domain do in the kernel. Who waits looks again every LOOK_NS. The contrast: each unmap is a
 * request.
 *
 * Not modelled: cache lines that move between processors, and what a lock costs that many wait for;
 * both are worse for the contrast, which has a waiter at the lock for each queue, where group
 * commit has two. In kernels the contrast falls; here it stays level.
 *
 * Each commit is checked: the range of its unmap has been in a request that began after it.
 */
#include <errno.h>
#include <stdio.h>
#include <ucontext.h>

static int sim_yield(void);
#define sched_yield sim_yield
#include "inval.c"
#undef sched_yield

#include "command.h"

#define QUEUES_MAX  128
#define STACK_BYTES (256 << 10)
#define RUN_CALLS   100 /* of a queue that is alone, and more work than that of cheap ones */
/* Measured on the software IOMMU, one thread: an unmap without its request, a range in one. */
#define WORK_NS	 60
#define RANGE_NS 20
#define LOOK_NS	 200

#define OWN_IOVA  (UINT64_C(1) << 40)
#define OWN_BYTES (UINT64_C(1) << 30)
#define PAGE	  4096

static const unsigned int queue_counts[] = { 1, 2, 4, 8, 16, 32, 64, 128 };
static const unsigned int costs[] = { 100, 1000, 5000, 15000 };

#define QUEUE_COUNTS (sizeof(queue_counts) / sizeof(queue_counts[0]))
#define COSTS	     (sizeof(costs) / sizeof(costs[0]))

enum { GROUP, PER_QUEUE, POLICIES };
static const char *const policy_names[] = { "group_commit", "per_thread" };

struct coroutine {
	ucontext_t context;
	void *stack;
	double now;
	struct inval_source *source;
	uint64_t unmaps;
	uint64_t covered; /* of them, by a request that has completed */
	bool ended;
};

static struct {
	struct inval inval;
	struct be be;
	struct be_space space;
	struct coroutine queues[QUEUES_MAX];
	unsigned int queue_count;
	struct coroutine *running;
	ucontext_t scheduler;
	unsigned int policy;
	unsigned int call_ns;
	double run_ns;
	double free_at; /* the kernel serves the next request from then on */
	uint64_t calls;
	bool wrong;
} sim;

/* Time passes; others, for whom it is earlier, run. */
static void pass(double until)
{
	struct coroutine *self = sim.running;

	self->now = until;
	swapcontext(&self->context, &sim.scheduler);
}

static int sim_yield(void)
{
	pass(sim.running->now + LOOK_NS);
	return 0;
}

static int invalidate(struct be_space *space, const struct be_inval *ranges, unsigned int count,
		      unsigned int *crossings)
{
	struct coroutine *self = sim.running;
	double start = self->now > sim.free_at ? self->now : sim.free_at;
	uint64_t seen[QUEUES_MAX];

	for (unsigned int i = 0; i < sim.queue_count; i++)
		seen[i] = sim.queues[i].unmaps;
	sim.free_at = start + sim.call_ns + count * RANGE_NS;
	sim.calls++;
	(*crossings)++;
	pass(sim.free_at);
	for (unsigned int i = 0; i < (count ?: sim.queue_count); i++) {
		unsigned int queue = count ? (ranges[i].iova - OWN_IOVA) / OWN_BYTES : i;

		if (sim.queues[queue].covered < seen[queue])
			sim.queues[queue].covered = seen[queue];
	}
	return 0;
}

static void unmap_group(struct coroutine *self, uint64_t iova)
{
	uint64_t position = inval_position(self->source);

	inval_add(self->source, iova, PAGE);
	inval_publish(self->source);
	if (inval_commit(&sim.inval, self->source, position) < 0)
		sim.wrong = true;
}

static void unmap_alone(uint64_t iova)
{
	struct be_inval range = { .iova = iova, .bytes = PAGE, .leaf = true };
	unsigned int crossings = 0;

	invalidate(&sim.space, &range, 1, &crossings);
}

static void queue_main(void)
{
	struct coroutine *self = sim.running;
	const uint64_t iova = OWN_IOVA + (self - sim.queues) * OWN_BYTES;

	while (self->now < sim.run_ns) {
		pass(self->now + WORK_NS);
		self->unmaps++;
		if (sim.policy == GROUP)
			unmap_group(self, iova);
		else
			unmap_alone(iova);
		if (self->covered < self->unmaps)
			sim.wrong = true;
	}
	self->ended = true;
	pass(self->now);
}

static struct coroutine *earliest(void)
{
	struct coroutine *first = NULL;

	for (unsigned int i = 0; i < sim.queue_count; i++)
		if (!sim.queues[i].ended && (!first || sim.queues[i].now < first->now))
			first = &sim.queues[i];
	return first;
}

static int start(struct coroutine *queue)
{
	queue->stack = malloc(STACK_BYTES);
	if (!queue->stack || inval_source_get(&sim.inval, &queue->source))
		return -ENOMEM;
	getcontext(&queue->context);
	queue->context.uc_stack.ss_sp = queue->stack;
	queue->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&queue->context, queue_main, 0);
	/* Not all at once. */
	queue->now = (queue - sim.queues) * 7;
	return 0;
}

static int simulate(unsigned int policy, unsigned int call_ns, unsigned int queues,
		    struct curve_point *point)
{
	static const struct be_ops ops = { .name = "simulated", .invalidate = invalidate };
	/* As the software IOMMU has them. */
	const struct be_caps caps = { .inval_flush_ranges = 256, .inval_call_ranges = 256 };
	uint64_t unmaps = 0;
	double end = 0;
	int ret;

	memset(&sim, 0, sizeof(sim));
	sim.be.ops = &ops;
	sim.space.be = &sim.be;
	sim.policy = policy;
	sim.call_ns = call_ns;
	sim.run_ns = RUN_CALLS * (call_ns + 1000.0);
	sim.queue_count = queues;
	ret = inval_init(&sim.inval, &caps, 256);
	if (ret)
		return ret;
	sim.inval.space = &sim.space;
	for (unsigned int i = 0; i < queues && !ret; i++)
		ret = start(&sim.queues[i]);
	while (!ret && (sim.running = earliest()))
		swapcontext(&sim.scheduler, &sim.running->context);
	for (unsigned int i = 0; i < queues; i++) {
		unmaps += sim.queues[i].unmaps;
		if (sim.queues[i].now > end)
			end = sim.queues[i].now;
		free(sim.queues[i].stack);
	}
	inval_destroy(&sim.inval);
	if (ret || sim.wrong)
		return ret ?: -EPROTO;
	*point = (struct curve_point){
		.policy = policy_names[policy],
		.call_ns = call_ns,
		.threads = queues,
		.rate = unmaps / end * 1e9,
		.calls = (double)sim.calls / unmaps,
	};
	return 0;
}

/* The table and its promises. */

static struct curve_point points[COSTS][POLICIES][QUEUE_COUNTS];

static void name_cost(unsigned int cost)
{
	printf("%u ns a call\n", costs[cost]);
}

static bool never_falls(unsigned int cost)
{
	const struct curve_point *group = points[cost][GROUP];

	for (unsigned int n = 1; n < QUEUE_COUNTS; n++)
		if (group[n].rate < 0.95 * group[n - 1].rate)
			return false;
	return true;
}

static bool never_behind(unsigned int cost)
{
	for (unsigned int n = 0; n < QUEUE_COUNTS; n++)
		if (points[cost][GROUP][n].rate < 0.9 * points[cost][PER_QUEUE][n].rate)
			return false;
	return true;
}

/* From 5 us on: eight times a request each at 64 queues. */
static bool gains(unsigned int cost)
{
	const unsigned int of64 = QUEUE_COUNTS - 2;

	return costs[cost] < 5000 ||
	       points[cost][GROUP][of64].rate >= 8 * points[cost][PER_QUEUE][of64].rate;
}

static int run(void)
{
	printf("  call_ns   queues   group commit  calls/    a request each    ratio\n"
	       "                     unmaps per s   unmap    unmaps per s\n");
	for (unsigned int c = 0; c < COSTS; c++)
		for (unsigned int n = 0; n < QUEUE_COUNTS; n++) {
			struct curve_point *group = &points[c][GROUP][n];
			struct curve_point *alone = &points[c][PER_QUEUE][n];
			int ret = simulate(GROUP, costs[c], queue_counts[n], group);

			ret = ret ?: simulate(PER_QUEUE, costs[c], queue_counts[n], alone);
			if (ret) {
				fprintf(stderr, "%u queues, %u ns: %s\n", queue_counts[n], costs[c],
					strerror(-ret));
				return 2;
			}
			printf("%9u %8u %14.0f %8.4f %15.0f %8.2f\n", costs[c], queue_counts[n],
			       group->rate, group->calls, alone->rate, group->rate / alone->rate);
		}
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	struct command command;
	int failed = 0;

	if (command_parse(argc, argv, "simulate", &command) || run() ||
	    (command.json &&
	     curve_write(command.json, points[0][0], sizeof(points) / sizeof(points[0][0][0]))))
		return 2;
	failed += command_promise("group commit does not fall as queues are added", COSTS,
				  never_falls, name_cost);
	failed += command_promise("and is never more than 10 % behind a request each", COSTS,
				  never_behind, name_cost);
	failed += command_promise("64 queues, from 5 us a call on: eight times a request each",
				  COSTS, gains, name_cost);
	return failed ? 1 : 0;
}
