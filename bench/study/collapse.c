/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The collapse curve: unmaps per second, of threads that each map and unmap a page, strictly,
 * against their number, when an invalidation request costs so much (the software IOMMU's call_ns: a
 * trapped doorbell and a wait). Two policies on one table: the library's group commit; and a
 * request of its own for each unmap, as kernel drivers do, that waits for its turn at the queue.
 *
 * The published curve falls from 229 to 25 Gb/s between 8 and 16 processors (nested, strict). What
 * is promised of group commit: it does not fall.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ioas/ioas.h>
#include <ioas/soft.h>

#include "command.h"
#include "objects.h"

#define PAGE	    4096
#define THREADS_MAX 8
#define ROUNDS	    5
#define OWN_IOVA    (UINT64_C(1) << 40) /* of the threads that use no allocator */
#define OWN_BYTES   (UINT64_C(1) << 30) /* between them */
#define MAY_FALL    0.3 /* of what fewer threads do: on a busy machine they wait for it */

static const unsigned int thread_counts[] = { 1, 2, 4, 8 };
static const unsigned int costs[] = { 100, 1000, 5000, 15000 };
static const unsigned int quick_costs[] = { 1000, 15000 };

#define THREAD_COUNTS (sizeof(thread_counts) / sizeof(thread_counts[0]))
#define COSTS_MAX     (sizeof(costs) / sizeof(costs[0]))

enum { GROUP, PER_THREAD, POLICIES };
static const char *const policy_names[] = { "group_commit", "per_thread" };

struct job {
	struct ioas_ctx *ctx;
	struct ioas_mem *mem;
	struct ioas_dev *dev;
	struct ioas *as;
	unsigned int policy;
	pthread_barrier_t start;
	_Atomic bool stop;
};

struct worker {
	struct job *job;
	pthread_t thread;
	unsigned int index;
	uint64_t unmaps;
	int error;
};

/* By cost. */
static struct curve_point points[COSTS_MAX][POLICIES][THREAD_COUNTS];

/* One page of the thread's own, again and again. */

static int group_once(struct ioas_queue *q, void *va)
{
	ioas_iova_t iova;
	int ret = ioas_map(q, va, PAGE, IOAS_RW, &iova);

	return ret ?: ioas_unmap(q, iova, PAGE);
}

static int per_thread_once(struct ioas *as, struct pt_cursor *cursor, uint64_t iova, void *va)
{
	struct pt_map_args args = { .prot = IOAS_RW };
	struct be_inval range = { .iova = iova, .bytes = PAGE, .leaf = true };
	unsigned int crossings = 0;
	uint64_t run;
	int ret;

	args.oa = vamap_find(&as->parent->cache, (uintptr_t)va, &run);
	ret = pt_map(as->pt, cursor, iova, PAGE, &args, 0);
	ret = ret ?: pt_unmap(as->pt, cursor, iova, PAGE, 0);
	return ret ?: as->be_space->be->ops->invalidate(as->be_space, &range, 1, &crossings);
}

static void work(struct worker *w, struct ioas_queue *q, void *va)
{
	const uint64_t iova = OWN_IOVA + w->index * OWN_BYTES;
	struct pt_cursor cursor = PT_CURSOR_INIT;
	struct job *job = w->job;

	pthread_barrier_wait(&job->start);
	while (!w->error && !atomic_load_explicit(&job->stop, memory_order_relaxed)) {
		w->error = job->policy == GROUP ? group_once(q, va)
						: per_thread_once(job->as, &cursor, iova, va);
		w->unmaps++;
	}
}

static void *worker(void *arg)
{
	struct worker *w = arg;
	struct ioas_queue *q = NULL;

	w->error = ioas_queue_create(w->job->as, &q);
	work(w, q, (char *)ioas_mem_va(w->job->mem) + (size_t)w->index * PAGE);
	if (q)
		ioas_queue_destroy(q);
	return NULL;
}

/* A cell. */

static int job_open(struct job *job, unsigned int cost)
{
	struct ioas_mem_opts mem_opts = {
		.size = sizeof(mem_opts),
		.numa_node = IOAS_NUMA_ANY,
		.bytes = THREADS_MAX * PAGE,
	};
	struct ioas_opts opts = { .size = sizeof(opts), .kind = IOAS_KIND_USER };
	struct ioas_ctx_opts ctx_opts = { .size = sizeof(ctx_opts), .backend = "soft" };
	char options[32];
	int ret;

	snprintf(options, sizeof(options), "call_ns=%u", cost);
	ctx_opts.backend_options = options;
	ret = ioas_ctx_open(&ctx_opts, &job->ctx);
	ret = ret ?: ioas_mem_alloc(job->ctx, &mem_opts, &job->mem);
	ret = ret ?: ioas_create(job->ctx, &opts, &job->as);
	ret = ret ?: ioas_dev_bind(job->ctx, "nic", &job->dev);
	return ret ?: ioas_attach(job->as, job->dev);
}

static void job_close(struct job *job)
{
	if (job->dev) {
		ioas_detach(job->dev);
		ioas_dev_unbind(job->dev);
	}
	if (job->as)
		ioas_destroy(job->as);
	if (job->mem)
		ioas_mem_free(job->mem);
	if (job->ctx)
		ioas_ctx_close(job->ctx);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Return: 0, or an error of a worker. */
static int run_workers(struct job *job, unsigned int threads, double time, uint64_t *unmaps,
		       double *took)
{
	struct worker workers[THREADS_MAX] = { 0 };
	struct timespec pause = { .tv_nsec = time * 1e9 };
	double start;
	int ret = 0;

	pthread_barrier_init(&job->start, NULL, threads + 1);
	for (unsigned int i = 0; i < threads; i++) {
		workers[i].job = job;
		workers[i].index = i;
		if (pthread_create(&workers[i].thread, NULL, worker, &workers[i]))
			abort(); /* others wait at the barrier */
	}
	pthread_barrier_wait(&job->start);
	start = seconds();
	nanosleep(&pause, NULL);
	atomic_store(&job->stop, true);
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		*unmaps += workers[i].unmaps;
		ret = ret ?: workers[i].error;
	}
	*took = seconds() - start;
	pthread_barrier_destroy(&job->start);
	return ret;
}

/* Every unmap must have been covered by a request: the model's waits are what it has completed. */
static int measure(unsigned int policy, unsigned int cost, unsigned int threads, double time,
		   struct curve_point *point)
{
	struct ioas_soft_stats stats = { .size = sizeof(stats) };
	struct job job = { .policy = policy };
	uint64_t unmaps = 0;
	double took = 0;
	int ret = job_open(&job, cost);

	ret = ret ?: run_workers(&job, threads, time, &unmaps, &took);
	ret = ret ?: ioas_soft_get_stats(job.ctx, &stats);
	job_close(&job);
	if (ret)
		return ret;
	if (!unmaps || stats.waits > unmaps || stats.descriptors < stats.waits ||
	    (policy == PER_THREAD && stats.waits != unmaps))
		return -EPROTO;
	*point = (struct curve_point){
		.policy = policy_names[policy],
		.call_ns = cost,
		.threads = threads,
		.rate = unmaps / took,
		.calls = (double)stats.waits / unmaps,
	};
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct curve_point *one = a, *other = b;

	return one->rate < other->rate ? -1 : one->rate > other->rate;
}

/* Rounds are interleaved, so that all points meet the same disturbances; the medians count. */
static int measure_all(unsigned int cost, double time, struct curve_point (*out)[THREAD_COUNTS])
{
	struct curve_point samples[POLICIES][THREAD_COUNTS][ROUNDS];

	for (unsigned int i = 0; i < ROUNDS * THREAD_COUNTS * POLICIES; i++) {
		const unsigned int policy = i % POLICIES, n = i / POLICIES % THREAD_COUNTS;
		int ret = measure(policy, cost, thread_counts[n], time,
				  &samples[policy][n][i / POLICIES / THREAD_COUNTS]);

		if (ret) {
			fprintf(stderr, "%s, %u threads: %s\n", policy_names[policy],
				thread_counts[n], strerror(-ret));
			return 2;
		}
	}
	for (unsigned int i = 0; i < THREAD_COUNTS * POLICIES; i++) {
		struct curve_point *of = samples[i % POLICIES][i / POLICIES];

		qsort(of, ROUNDS, sizeof(*of), compare);
		out[i % POLICIES][i / POLICIES] = of[ROUNDS / 2];
	}
	return 0;
}

static void print(const struct curve_point (*of)[THREAD_COUNTS])
{
	for (unsigned int n = 0; n < THREAD_COUNTS; n++) {
		const struct curve_point *group = &of[GROUP][n], *alone = &of[PER_THREAD][n];

		printf("%9u %8u %14.0f %8.3f %14.0f %8.2f\n", group->call_ns, group->threads,
		       group->rate, group->calls, alone->rate, group->rate / alone->rate);
	}
	fflush(stdout);
}

static void name_cost(unsigned int cost)
{
	printf("%u ns a call\n", points[cost][GROUP][0].call_ns);
}

static bool never_falls(unsigned int cost)
{
	const struct curve_point *group = points[cost][GROUP];
	double best = 0;

	for (unsigned int n = 0; n < THREAD_COUNTS && group->call_ns >= 5000; n++) {
		if (group[n].rate < MAY_FALL * best)
			return false;
		if (group[n].rate > best)
			best = group[n].rate;
	}
	return true;
}

static int run(const unsigned int *list, unsigned int count, double time, const char *json)
{
	printf("  call_ns  threads    group commit calls/un-  a request each    ratio\n"
	       "                     unmaps per s      map    unmaps per s\n");
	for (unsigned int i = 0; i < count; i++) {
		if (measure_all(list[i], time, points[i]))
			return 2;
		print(points[i]);
	}
	printf("\n");
	if (json && curve_write(json, points[0][0], count * POLICIES * THREAD_COUNTS))
		return 2;
	return command_promise("group commit does not collapse as threads are added, from 5 us on",
			       count, never_falls, name_cost);
}

int main(int argc, char **argv)
{
	struct command command;

	if (command_parse(argc, argv, "collapse", &command))
		return 2;
	if (command.quick)
		return run(quick_costs, sizeof(quick_costs) / sizeof(quick_costs[0]), 0.04,
			   command.json);
	return run(costs, COSTS_MAX, 0.2, command.json);
}
