/* SPDX-License-Identifier: BSD-3-Clause */
/* Stress: the runs. See stress.h. */
#include "stress.h"

static void stress_prepare(struct stress *s, const struct config *config)
{
	struct ioas_opts opts = opts_of(config->flavour);
	unsigned int page = 0;

	memset(s, 0, sizeof(*s));
	s->config = *config;
	pthread_mutex_init(&s->lock, NULL);
	rig_open(&s->r, config->options);
	opts.aperture = (struct ioas_range){ BASE, BASE + APERTURE - 1 };
	if (batched(s)) {
		opts.batch_max = config->batch_max;
		opts.batch_ns = config->batch_ns;
	}
	rig_space(&s->r, &opts);
	for (unsigned int i = 0; i < config->drivers; i++) {
		struct driver *d = &s->drivers[i];

		*d = (struct driver){ .s = s, .index = i, .seed = 100 + i };
		for (unsigned int j = 0; j < PIECES; j++) {
			struct piece *piece = &d->pieces[j];

			piece->driver = d;
			piece->va = s->r.va + page * PAGE;
			for (unsigned int k = 0; k < room_of(piece); k++)
				s->piece_of[page++] = piece;
			die(piece);
		}
	}
	for (unsigned int i = 0; i < config->devices; i++) {
		char name[16];

		s->devices[i] = (struct device){ .s = s, .index = i, .seed = 200 + i };
		snprintf(name, sizeof(name), "dev%u@%u", i,
			 config->options && strstr(config->options, "units=2") ? i % 2 : 0);
		assert_int_equal(ioas_dev_bind(s->r.ctx, name, &s->devices[i].dev), 0);
		assert_int_equal(ioas_attach(s->r.as, s->devices[i].dev), 0);
	}
}

/* All is unmapped: nothing in the whole aperture is reachable, nothing has been touched. */
static void stress_check_end(struct stress *s)
{
	uint64_t stopped = 0;

	for (unsigned int i = 0; i < s->config.devices; i++) {
		uint64_t word = 0;

		for (uint64_t page = 0; page < IOVA_PAGES; page++, stopped++)
			if (!ioas_soft_dma_write(s->devices[i].dev, BASE + page * PAGE, &word, 8))
				violation(s, OUTSIDE, "0x%lx at the end",
					  (unsigned long)(BASE + page * PAGE));
		stopped += s->devices[i].stopped;
	}
	for (unsigned int i = 0; i < s->config.drivers; i++)
		for (unsigned int j = 0; j < PIECES; j++)
			check_canary(&s->drivers[i].pieces[j]);
	if (!atomic_load(&s->any) && stats_of(s->r.ctx).faults != stopped)
		violation(s, LOST, "%lu of %lu faults", stats_of(s->r.ctx).faults, stopped);
}

static void stress_report(struct stress *s)
{
	struct ioas_stats stats = stats_of(s->r.ctx);
	uint64_t calls = 0, taken = 0, landed = 0, stopped = 0, late = 0;

	for (unsigned int i = 0; i < s->config.drivers; i++) {
		calls += s->drivers[i].calls;
		taken += s->drivers[i].taken;
	}
	for (unsigned int i = 0; i < s->config.devices; i++) {
		landed += s->devices[i].landed;
		stopped += s->devices[i].stopped;
		late += s->devices[i].late;
	}
	printf("# %s, %u drivers, %u devices, %s: %lu calls (%lu places taken), %lu DMAs landed, "
	       "%lu stopped, %lu late\n",
	       s->config.flavour->name, s->config.drivers, s->config.devices,
	       s->config.options ? s->config.options : "defaults", calls, taken, landed, stopped,
	       late);
	printf("# %lu ranges invalidated, %lu flushes, %lu commits, %lu joined\n",
	       stats.inval_issued, stats.inval_flushes, stats.commits, stats.commit_joins);
	for (int i = 0; i < VIOLATIONS; i++)
		if (atomic_load(&s->violations[i]))
			printf("# violations \"%s\": %lu\n", violation_name(i),
			       atomic_load(&s->violations[i]));
	if (atomic_load(&s->any))
		printf("# first, after %lu us: %s\n", s->caught_ns / 1000, s->first);
}

static void stress_stop(struct stress *s)
{
	for (unsigned int i = 0; i < s->config.devices; i++) {
		assert_int_equal(ioas_detach(s->devices[i].dev), 0);
		assert_int_equal(ioas_dev_unbind(s->devices[i].dev), 0);
	}
	rig_stop(&s->r);
	pthread_mutex_destroy(&s->lock);
}

static struct stress *stress_run(const struct config *config)
{
	static struct stress s;
	struct timespec pause = { 0, 1000000 };

	stress_prepare(&s, config);
	pthread_barrier_init(&s.ready, NULL, config->drivers + config->devices + 1);
	for (unsigned int i = 0; i < config->drivers; i++)
		assert_int_equal(
			pthread_create(&s.drivers[i].thread, NULL, driver_main, &s.drivers[i]), 0);
	for (unsigned int i = 0; i < config->devices; i++)
		assert_int_equal(
			pthread_create(&s.devices[i].thread, NULL, device_main, &s.devices[i]), 0);
	s.start_ns = now_ns();
	pthread_barrier_wait(&s.ready);
	while (!atomic_load(&s.stop) && now_ns() - s.start_ns < config->run_ns)
		nanosleep(&pause, NULL);
	atomic_store(&s.stop, true);
	for (unsigned int i = 0; i < config->drivers; i++)
		pthread_join(s.drivers[i].thread, NULL);
	atomic_store(&s.drained, true);
	for (unsigned int i = 0; i < config->devices; i++)
		pthread_join(s.devices[i].thread, NULL);
	pthread_barrier_destroy(&s.ready);
	stress_check_end(&s);
	stress_report(&s);
	return &s;
}

static void must_hold(const struct config *config)
{
	struct stress *s = stress_run(config);

	for (int i = 0; i < VIOLATIONS; i++)
		assert_int_equal(atomic_load(&s->violations[i]), 0);
	stress_stop(s);
}

static const char *const exact; /* ranges are invalidated one by one */
static const char *const coarse = "iotlb_sets=8,iotlb_ways=4"; /* a flush is cheaper soon */

static void strict_user(void **state)
{
	(void)state;
	must_hold(&(struct config){ .flavour = &user_flavour,
				    .options = exact,
				    .drivers = 2,
				    .devices = 1,
				    .run_ns = test_ns() / 2 });
	must_hold(&(struct config){ .flavour = &user_flavour,
				    .options = "units=2",
				    .drivers = 4,
				    .devices = 2,
				    .run_ns = test_ns() / 2 });
}

static void strict_user_five_levels(void **state)
{
	(void)state;
	must_hold(&(struct config){ .flavour = &user5_flavour,
				    .options = coarse,
				    .drivers = 3,
				    .devices = 2,
				    .run_ns = test_ns() / 2 });
}

static void batched_user(void **state)
{
	(void)state;
	must_hold(&(struct config){ .flavour = &batched_flavour,
				    .options = exact,
				    .drivers = 2,
				    .devices = 1,
				    .batch_max = 64,
				    .batch_ns = 5000000,
				    .run_ns = test_ns() / 2 });
	must_hold(&(struct config){ .flavour = &batched_flavour,
				    .options = coarse,
				    .drivers = 3,
				    .devices = 2,
				    .batch_max = 256,
				    .batch_ns = 20000000,
				    .run_ns = test_ns() / 2 });
	must_hold(&(struct config){ .flavour = &batched_flavour,
				    .options = exact,
				    .drivers = 2,
				    .devices = 1,
				    .batch_max = 512,
				    .batch_ns = 20000000,
				    .plain = true,
				    .run_ns = test_ns() / 2 });
}

static void strict_kernel(void **state)
{
	(void)state;
	must_hold(&(struct config){ .flavour = &kernel_flavour,
				    .options = exact,
				    .drivers = 2,
				    .devices = 2,
				    .run_ns = test_ns() });
}

/*
 * The tests of the test: on a model that loses invalidations the same run must report it. It has
 * plenty of time for it, and takes little.
 */
static void must_be_caught(const struct flavour *flavour, const char *options)
{
	struct config config = { .flavour = flavour,
				 .options = options,
				 .drivers = 2,
				 .devices = 1,
				 .batch_max = 64,
				 .batch_ns = 5000000,
				 .run_ns = UINT64_C(20000000000),
				 .until_caught = true };
	struct stress *s = stress_run(&config);

	assert_true(atomic_load(&s->violations[OUTSIDE]) + atomic_load(&s->violations[ELSEWHERE]) +
			    atomic_load(&s->violations[CANARY]) >
		    0);
	/* And by nothing else: the mutant breaks the device's side only. */
	assert_int_equal(atomic_load(&s->violations[ERROR]), 0);
	assert_int_equal(atomic_load(&s->violations[TWICE]), 0);
	assert_int_equal(atomic_load(&s->violations[EARLY]), 0);
	stress_stop(s);
}

static void mutant_is_caught_user(void **state)
{
	(void)state;
	must_be_caught(&user_flavour, "break=drop-inval");
}

static void mutant_is_caught_batched(void **state)
{
	(void)state;
	must_be_caught(&batched_flavour, "break=drop-inval");
}

static void mutant_is_caught_kernel(void **state)
{
	(void)state;
	must_be_caught(&kernel_flavour, "break=drop-inval");
}

/* Flushes are lost and ranges are not: only where the engine flushes does it show. */
static void mutant_is_caught_flush(void **state)
{
	(void)state;
	must_be_caught(&batched_flavour, "break=drop-flush,iotlb_sets=8,iotlb_ways=4");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_user),
		cmocka_unit_test(strict_user_five_levels),
		cmocka_unit_test(batched_user),
		cmocka_unit_test(strict_kernel),
		cmocka_unit_test(mutant_is_caught_user),
		cmocka_unit_test(mutant_is_caught_batched),
		cmocka_unit_test(mutant_is_caught_kernel),
		cmocka_unit_test(mutant_is_caught_flush),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
