/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of ioas/map.h that says which calls may run at the same time: two threads do the same
 * at the same moment, and what comes out is one of the outcomes written there.
 */
#include "rig.h"

#define ROUNDS (SANITIZED ? 1500 : 6000)

struct race {
	struct rig r;
	pthread_barrier_t start;
	pthread_barrier_t end;
	void (*act)(struct race *race, unsigned int side);
	struct ioas_queue *q[2];
	ioas_iova_t iova[2];
	int ret[2];
	unsigned int round;
	_Atomic bool stop;
};

static void *other_side(void *arg)
{
	struct race *race = arg;

	race->q[1] = NULL;
	if (ioas_queue_create(race->r.as, &race->q[1]))
		abort();
	pthread_barrier_wait(&race->end);
	for (;;) {
		pthread_barrier_wait(&race->start);
		if (atomic_load(&race->stop))
			break;
		race->act(race, 1);
		pthread_barrier_wait(&race->end);
	}
	if (ioas_queue_destroy(race->q[1]))
		abort();
	return NULL;
}

static pthread_t race_start(struct race *race, const struct flavour *flavour,
			    void (*act)(struct race *race, unsigned int side))
{
	pthread_t thread;

	memset(race, 0, sizeof(*race));
	rig_start(&race->r, flavour, NULL);
	race->act = act;
	race->q[0] = race->r.q;
	pthread_barrier_init(&race->start, NULL, 2);
	pthread_barrier_init(&race->end, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, other_side, race), 0);
	pthread_barrier_wait(&race->end);
	return thread;
}

static void race_round(struct race *race)
{
	pthread_barrier_wait(&race->start);
	race->act(race, 0);
	pthread_barrier_wait(&race->end);
	race->round++;
}

static void race_stop(struct race *race, pthread_t thread)
{
	atomic_store(&race->stop, true);
	pthread_barrier_wait(&race->start);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&race->start);
	pthread_barrier_destroy(&race->end);
	rig_stop(&race->r);
}

static void unmap_it(struct race *race, unsigned int side)
{
	race->ret[side] = ioas_unmap(race->q[side], race->iova[0], 3 * PAGE);
}

/* 4: exactly one succeeds, the other gets -ENOENT. */
static void one_mapping_unmapped_by_two(void **state)
{
	static struct race race;
	pthread_t thread = race_start(&race, *state, unmap_it);
	unsigned int wins[2] = { 0 };

	for (unsigned int i = 0; i < ROUNDS; i++) {
		assert_int_equal(ioas_map(race.r.q, race.r.va, 3 * PAGE, IOAS_RW, &race.iova[0]),
				 0);
		race_round(&race);
		assert_true((!race.ret[0] && race.ret[1] == -ENOENT) ||
			    (!race.ret[1] && race.ret[0] == -ENOENT));
		wins[!race.ret[1]]++;
	}
	printf("# %u to %u\n", wins[0], wins[1]);
	assert_int_equal(stats_of(race.r.ctx).unmaps, ROUNDS);
	race_stop(&race, thread);
}

static void map_there(struct race *race, unsigned int side)
{
	ioas_iova_t iova = race->iova[side];

	race->ret[side] = ioas_map(race->q[side], race->r.va + side * MIB(1), 4 * PAGE,
				   IOAS_RW | IOAS_MAP_FIXED, &iova);
}

/* 1: at most one of two overlapping maps wins; who does not has left nothing. */
static void overlapping_fixed_maps(void **state)
{
	static struct race race;
	pthread_t thread = race_start(&race, *state, map_there);
	unsigned int outcome[3] = { 0 };

	for (unsigned int i = 0; i < ROUNDS; i++) {
		int won = -1;

		race.iova[0] = GIB(1) + i % 100 * 16 * PAGE + 4 * PAGE;
		race.iova[1] = race.iova[0] + ((int)(i % 7) - 3) * PAGE;
		race_round(&race);
		for (int side = 0; side < 2; side++) {
			assert_true(!race.ret[side] || race.ret[side] == -EEXIST);
			if (!race.ret[side]) {
				assert_int_equal(won, -1);
				won = side;
			}
		}
		outcome[won + 1]++;
		if (i % 16 == 0 || won < 0) {
			for (unsigned int page = 0; page < 10; page++) {
				ioas_iova_t at = race.iova[0] + ((int)page - 3) * PAGE;
				bool inside = won >= 0 && at >= race.iova[won] &&
					      at < race.iova[won] + 4 * PAGE;

				if (inside)
					assert_true(writes(&race.r, at,
							   race.r.va + won * MIB(1) + at -
								   race.iova[won]));
				else
					assert_true(refused(&race.r, at, PAGE));
			}
			drain_faults(&race.r);
		}
		if (won >= 0) {
			assert_int_equal(ioas_unmap(race.r.q, race.iova[won], 4 * PAGE), 0);
			assert_int_equal(ioas_flush(race.r.q), 0);
		}
	}
	printf("# nobody %u, %u to %u\n", outcome[0], outcome[1], outcome[2]);
	race_stop(&race, thread);
}

static void map_and_unmap(struct race *race, unsigned int side)
{
	ioas_iova_t iova = race->iova[0];

	if (side)
		race->ret[1] = ioas_unmap(race->q[1], race->iova[0], PAGE);
	else
		race->ret[0] = ioas_map(race->q[0], race->r.va + MIB(1), PAGE,
					IOAS_RW | IOAS_MAP_FIXED, &iova);
}

/* 2: -EEXIST before the unmap; after it the map, whose memory the device then reaches (I1). */
static void map_over_an_unmap(void **state)
{
	static struct race race;
	pthread_t thread = race_start(&race, *state, map_and_unmap);
	unsigned int mapped = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		race.iova[0] = GIB(1) + i % 300 * PAGE;
		assert_int_equal(ioas_map(race.r.q, race.r.va, PAGE, IOAS_RW | IOAS_MAP_FIXED,
					  &race.iova[0]),
				 0);
		assert_true(writes(&race.r, race.iova[0], race.r.va));
		race_round(&race);
		assert_int_equal(race.ret[1], 0);
		assert_true(!race.ret[0] || race.ret[0] == -EEXIST);
		if (race.ret[0])
			continue;
		mapped++;
		assert_true(writes(&race.r, race.iova[0], race.r.va + MIB(1)));
		assert_int_equal(ioas_unmap(race.r.q, race.iova[0], PAGE), 0);
	}
	printf("# %u of %u mapped\n", mapped, ROUNDS);
	race_stop(&race, thread);
}

static struct ioas_window *shared_window;

/* Different slots need no exclusion: even ones here, odd ones there, in one table page. */
static void even_and_odd(struct race *race, unsigned int side)
{
	uint32_t slots[16];

	for (unsigned int i = 0; i < 16; i++)
		slots[i] = 2 * i + side + race->round % 100 * 32 % 512;
	race->ret[side] = ioas_window_grant(race->q[side], shared_window, slots, 16) ?:
			  ioas_window_revoke(race->q[side], shared_window, slots, 16) ?:
			  ioas_window_grant(race->q[side], shared_window, slots, 16) ?:
			  ioas_window_revoke(race->q[side], shared_window, slots, 16);
}

static void different_slots(void **state)
{
	struct ioas_window_opts opts = {
		.size = sizeof(opts), .prot = IOAS_RW, .bytes = MIB(2), .slot_bytes = PAGE
	};
	static struct race race;
	pthread_t thread = race_start(&race, *state, even_and_odd);

	opts.va = race.r.va;
	assert_int_equal(ioas_window_create(race.r.as, &opts, &shared_window), 0);
	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		race_round(&race);
		assert_int_equal(race.ret[0], 0);
		assert_int_equal(race.ret[1], 0);
	}

	assert_int_equal(ioas_window_destroy(shared_window), 0);
	race_stop(&race, thread);
}

/* Queues, spaces and memory come and go while others work: slow calls exclude each other. */
static void slow_calls(struct race *race, unsigned int side)
{
	struct ioas_queue *q;
	struct ioas *as;
	struct ioas_dev *dev;
	struct ioas_mem *mem;
	struct ioas_mem_opts opts = { .size = sizeof(opts),
				      .numa_node = IOAS_NUMA_ANY,
				      .bytes = 4 * PAGE,
				      .page_bytes = PAGE };
	struct ioas_opts user = opts_of(&user_flavour);
	ioas_iova_t iova;

	race->ret[side] = ioas_mem_alloc(race->r.ctx, &opts, &mem) ?:
			  ioas_create(race->r.ctx, &user, &as) ?:
			  ioas_queue_create(as, &q) ?:
			  ioas_dev_bind(race->r.ctx, side ? "left" : "right", &dev) ?:
			  ioas_attach(as, dev) ?:
			  ioas_map(q, ioas_mem_va(mem), 4 * PAGE, IOAS_RW, &iova) ?:
			  ioas_unmap(q, iova, 4 * PAGE) ?:
			  ioas_attach(race->r.as, dev) ?:
			  ioas_map(race->q[side], ioas_mem_va(mem), PAGE, IOAS_RW, &iova) ?:
			  ioas_unmap(race->q[side], iova, PAGE) ?:
			  ioas_detach(dev) ?:
			  ioas_dev_unbind(dev) ?:
			  ioas_queue_destroy(q) ?:
			  ioas_destroy(as) ?:
			  ioas_mem_free(mem);
}

static void everything_comes_and_goes(void **state)
{
	static struct race race;
	pthread_t thread = race_start(&race, *state, slow_calls);

	uint64_t pinned = 0;

	for (unsigned int i = 0; i < ROUNDS / 20; i++) {
		race_round(&race);
		assert_int_equal(race.ret[0], 0);
		assert_int_equal(race.ret[1], 0);
		if (i == 20) /* page tables have found their size */
			pinned = stats_of(race.r.ctx).bytes_pinned;
	}
	assert_int_equal(stats_of(race.r.ctx).bytes_pinned, pinned);
	race_stop(&race, thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_FLAVOURS(one_mapping_unmapped_by_two), ALL_FLAVOURS(overlapping_fixed_maps),
		ALL_FLAVOURS(map_over_an_unmap),	   USER_FLAVOURS(different_slots),
		ALL_FLAVOURS(everything_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
