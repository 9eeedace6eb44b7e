// SPDX-License-Identifier: BSD-3-Clause
//
// The only file that knows Google Benchmark: runs rows, collects samples, writes its JSON.
//
// Google Benchmark finds the number of iterations, interleaves the repetitions of all rows in
// random order, starts threads together and writes the JSON. A case's loop is C, called once for
// all the iterations of a repetition. Results are held back until the last row is done, because
// floors and peers are added to each as counters.
#include "harness.h"

#include <benchmark/benchmark.h>
#include <pthread.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <string>
#include <vector>

#include "machine.h"
#include "perf.h"
#include "report.h"

namespace
{

// What the threads of a row share while it runs.
struct Live {
	bench_row *row;
	void *shared = nullptr;
	bool set_up = false;
	std::atomic<bool> failed{ false };
	pthread_barrier_t barrier;
	std::vector<bench_sample> parts; // by thread, of the repetition in progress
};

double now_ns()
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

// The first error of a row is the one that is told.
void fail(Live *live, const char *text)
{
	if (live->failed.exchange(true))
		return;
	snprintf(live->row->error, sizeof(live->row->error), "%s", text[0] ? text : "failed");
	live->row->failed = true;
}

// One thread of one run of a row: owns nothing that outlives the run.
class Runner
{
      public:
	Runner(benchmark::State &state, Live *live)
	    : state(state), live(live), spec(live->row->spec)
	{
		t.spec = spec;
		t.index = state.thread_index();
		t.threads = live->row->threads;
		t.shared = &live->shared;
		t.local = nullptr;
		t.left_out_ns = 0;
		t.error[0] = 0;
	}

	void run()
	{
		prepare();
		if (live->failed)
			state.SkipWithError(live->row->error);
		timed();
		wait();
		finish();
		if (live->failed && !state.error_occurred())
			state.SkipWithError(live->row->error);
	}

      private:
	benchmark::State &state;
	Live *live;
	const bench_case *spec;
	bench_thread t;
	bool thread_set_up = false;
	double before[BENCH_COUNTERS_MAX] = {};
	double after[BENCH_COUNTERS_MAX] = {};

	void wait()
	{
		pthread_barrier_wait(&live->barrier);
	}

	void call(int (*step)(bench_thread *))
	{
		if (step && !live->failed && step(&t))
			fail(live, t.error);
	}

	void prepare()
	{
		if (t.index == 0 && !live->set_up) {
			bench_machine_unpin();
			call(spec->setup);
			live->set_up = true;
		}
		wait();
		bench_machine_pin(t.index);
		if (!live->failed) {
			thread_set_up = true;
			call(spec->thread_setup);
		}
		wait();
		if (t.index == 0 && !live->failed && spec->count && spec->count(&t, before))
			fail(live, t.error);
		wait();
	}

	void timed()
	{
		uint64_t iterations = state.max_iterations;
		double units = (double)iterations * spec->units;
		bench_sample &part = live->parts[t.index];
		bench_perf perf;
		bool left = false;

		bench_perf_open(&perf);
		while (state.KeepRunningBatch(state.max_iterations)) {
			uint64_t delay = bench_run_delay_ns();
			bench_perf_start(&perf);
			double start = now_ns();
			int ret = spec->run(&t, iterations);
			double wall = now_ns() - start - t.left_out_ns;
			bench_perf_stop(&perf);
			delay = bench_run_delay_ns() - delay;
			if (ret) {
				fail(live, t.error);
				state.SkipWithError(live->row->error);
				left = true;
				break;
			}
			part.wall_ns = wall / units;
			part.ns = (delay < wall ? wall - delay : wall) / units;
		}
		// The others wait for this thread at the end of the loop, which it has left.
		if (left)
			state.KeepRunningBatch(state.max_iterations);
		for (unsigned int i = 0; i < BENCH_PERF_EVENTS; i++)
			if (perf.fd[i] >= 0)
				average(bench_perf_names[i], perf.value[i] / units);
		average("ns", part.ns);
		average("wall_ns", part.wall_ns);
		bench_perf_close(&perf);
	}

	void average(const char *name, double value)
	{
		state.counters[name] = benchmark::Counter(value, benchmark::Counter::kAvgThreads);
	}

	// Checks and teardown; then thread 0 files the repetition.
	void finish()
	{
		uint64_t iterations = state.max_iterations;

		if (t.index == 0 && !live->failed && spec->count && spec->count(&t, after))
			fail(live, t.error);
		for (unsigned int c = 0; c < BENCH_COUNTERS_MAX; c++)
			after[c] -= before[c];
		if (t.index == 0 && !live->failed && spec->check &&
		    spec->check(&t, iterations, after))
			fail(live, t.error);
		for (unsigned int turn = 0; turn < t.threads; turn++) {
			wait();
			if (turn == t.index)
				call(spec->thread_check);
		}
		wait();
		if (thread_set_up && spec->thread_teardown)
			spec->thread_teardown(&t);
		wait();
		if (t.index)
			return;
		if (live->set_up && !(spec->flags & BENCH_KEEP))
			tear_down();
		file_sample((double)iterations * spec->units * t.threads);
	}

	void tear_down()
	{
		if (spec->teardown)
			spec->teardown(&t);
		live->set_up = false;
		live->shared = nullptr;
	}

	// Runs that look for the number of iterations are overwritten by the first repetition.
	void file_sample(double units)
	{
		bench_sample sum = {};

		for (const bench_sample &part : live->parts) {
			sum.ns += part.ns / t.threads;
			sum.wall_ns += part.wall_ns / t.threads;
		}
		for (unsigned int c = 0; c < BENCH_COUNTERS_MAX && spec->counters[c]; c++) {
			sum.counters[c] = after[c] / units;
			state.counters[spec->counters[c]] = sum.counters[c];
		}
	}
};

// Holds runs back; takes the samples out of the repetitions that Google Benchmark reports.
class Collector : public benchmark::BenchmarkReporter
{
      public:
	Collector(bench_report *report, const char *json_file) : report(report)
	{
		if (json_file)
			file.open(json_file);
		wants_json = json_file != nullptr;
	}

	bool ok()
	{
		return !wants_json || file.good();
	}

	bool ReportContext(const Context &) override
	{
		return true;
	}

	void ReportRuns(const std::vector<Run> &group) override
	{
		for (const Run &run : group) {
			runs.push_back(run);
			runs.back().run_name.time_type.clear();
			if (is_together(run))
				runs.back().run_name.threads.clear();
			if (run.run_type == Run::RT_Iteration)
				take_sample(runs.back());
		}
	}

	// After the last row: add what is known only now, write.
	void write_json()
	{
		if (!wants_json)
			return;
		benchmark::JSONReporter json;
		json.SetOutputStream(&file);
		add_context();
		json.ReportContext(Context());
		for (Run &run : runs)
			add_counters(run);
		json.ReportRuns(runs);
		json.Finalize();
		file.close();
	}

      private:
	bench_report *report;
	bool wants_json;
	std::ofstream file;
	std::vector<Run> runs;

	// Then its name says how many threads it has.
	bool is_together(const Run &run)
	{
		const bench_row *row =
			bench_report_find(report, run.run_name.function_name.c_str());

		return row && (row->spec->flags & BENCH_TOGETHER);
	}

	bench_row *row_of(const Run &run)
	{
		return bench_report_find(report, run.run_name.str().c_str());
	}

	void take_sample(const Run &run)
	{
		bench_row *row = row_of(run);

		if (!row || run.error_occurred || row->sample_count == BENCH_SAMPLES_MAX)
			return;
		bench_sample &sample = row->samples[row->sample_count++];
		sample.ns = run.counters.at("ns");
		sample.wall_ns = run.counters.at("wall_ns");
		for (unsigned int c = 0; c < BENCH_COUNTERS_MAX && row->spec->counters[c]; c++)
			sample.counters[c] = run.counters.at(row->spec->counters[c]);
	}

	void add_context()
	{
		bench_fact facts[BENCH_FACTS];
		char text[BENCH_VERDICT_BYTES];

		bench_machine_facts(facts);
		for (const bench_fact &fact : facts)
			benchmark::AddCustomContext(fact.name, fact.text);
		for (size_t i = 0; i < bench_figure_count; i++) {
			if (!bench_report_find(report, bench_figures[i].row))
				continue;
			bench_figure_check(report, &bench_figures[i], text, sizeof(text));
			benchmark::AddCustomContext(
				"figure " + std::to_string(i) + " " + bench_figures[i].row, text);
		}
	}

	// Spreads (stddev, cv) get no figures in ns of others.
	void add_counters(Run &run)
	{
		const bench_row *row = row_of(run);

		if (!row || run.error_occurred || run.aggregate_name == "stddev" ||
		    run.aggregate_name == "cv" || !run.counters.count("ns"))
			return;
		run.counters["ours_ns"] = run.counters["ns"] - bench_row_harness_ns(report, row);
		if (row->floor) {
			run.counters["floor_ns"] = row->floor->ns.median;
			run.counters["floor_mad_ns"] = row->floor->ns.mad;
		}
		if (row->peer) {
			run.counters["peer_ns"] = row->peer->ns.median;
			run.counters["peer_mad_ns"] = row->peer->ns.mad;
			run.report_label = std::string("peer ") + row->peer->name;
		}
		if (row->threads > 1)
			run.counters["scaling"] = bench_row_scaling(report, row);
	}
};

void progress(const char *name)
{
	static std::atomic<double> first{ 0 }, last{ 0 };
	double now = now_ns();

	if (first == 0)
		first = now;
	if (now - last < 5e9)
		return;
	last = now;
	fprintf(stderr, "bench: %3.0f s, at %s\n", (now - first) / 1e9, name);
}

void set_flags(const bench_options *options)
{
	static char program[] = "bench"; // kept by Google Benchmark
	std::vector<std::string> words = {
		"--benchmark_enable_random_interleaving=true",
		"--benchmark_repetitions=" + std::to_string(options->repetitions),
		"--benchmark_min_time=" + std::to_string(options->min_seconds),
	};
	std::vector<char *> argv = { program };

	for (std::string &word : words)
		argv.push_back(&word[0]);
	argv.push_back(nullptr);
	int argc = argv.size() - 1;
	benchmark::Initialize(&argc, argv.data());
}

void add_row(Live *live, bench_row *row)
{
	live->row = row;
	live->parts.resize(row->threads);
	pthread_barrier_init(&live->barrier, nullptr, row->threads);
	benchmark::internal::Benchmark *entry =
		benchmark::RegisterBenchmark(row->spec->name, [live](benchmark::State &state) {
			if (state.thread_index() == 0)
				progress(live->row->name);
			Runner(state, live).run();
		});
	entry->UseRealTime()->Unit(benchmark::kNanosecond);
	entry->ComputeStatistics("min", [](const std::vector<double> &values) {
		double least = values.empty() ? 0 : values[0];

		for (double value : values)
			least = value < least ? value : least;
		return least;
	});
	if (row->threads > 1)
		entry->Threads(row->threads);
}

void tear_down_kept(Live *live)
{
	bench_thread t = {};

	t.spec = live->row->spec;
	t.threads = live->row->threads;
	t.shared = &live->shared;
	if (live->set_up && t.spec->teardown)
		t.spec->teardown(&t);
}

} // namespace

extern "C" int bench_run_rows(const bench_options *options, bench_report *report)
{
	std::deque<Live> lives(report->count);
	Collector collector(report, options->json);

	if (!collector.ok()) {
		fprintf(stderr, "bench: --json %s: cannot be written\n", options->json);
		return -1;
	}
	set_flags(options);
	for (size_t i = 0; i < report->count; i++)
		add_row(&lives[i], &report->rows[i]);
	benchmark::RunSpecifiedBenchmarks(&collector, ".");
	bench_machine_unpin();
	for (Live &live : lives) {
		tear_down_kept(&live);
		pthread_barrier_destroy(&live.barrier);
	}
	bench_report_finish(report);
	collector.write_json();
	benchmark::ClearRegisteredBenchmarks();
	return 0;
}
