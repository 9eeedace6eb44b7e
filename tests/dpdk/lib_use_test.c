/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an application does with it: names and options, devices, lcores' queues, quiescent states,
 * mbufs of every kind as vectors, pools, faults.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_launch.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>

#include <ioas/translate.h>

#include "lib_rig.h"

#define MIB (UINT64_C(1) << 20)

static struct ioas_ctx_opts soft = { .size = sizeof(soft), .backend = "soft" };

static void refused(struct ioas_dpdk_opts opts, int wanted, const char *text)
{
	struct ioas_dpdk *glue = NULL;
	int rc;

	opts.size = opts.size != 0 ? opts.size : sizeof(opts);
	opts.ctx = opts.ctx != NULL ? opts.ctx : &soft;
	rig_log_start();
	rc = ioas_dpdk_open(&opts, &glue);
	CHECK(rc == wanted, "%s: %d, not %d", text, rc, wanted);
	CHECK(rig_log_has(text), "text");
	CHECK(opts.name == NULL || wanted == -EEXIST || ioas_dpdk_find(opts.name) == NULL,
	      "%s: it is open", text);
}

static void options(void)
{
	static const char *const unnamed[] = { "" }, *const twice[] = { "a", "a" };
	struct ioas_ctx_opts nowhere = { .size = sizeof(nowhere), .backend = "nowhere" };
	struct ioas_opts narrow = { .size = sizeof(narrow),
				    .kind = IOAS_KIND_KERNEL,
				    .aperture = { 1 << 20, (1 << 28) - 1 } };
	struct ioas_opts bad = { .size = sizeof(bad), .kind = 77 };
	struct ioas_dpdk *first = rig_open(NULL), *second;
	struct ioas_dpdk_opts opts = { .size = sizeof(opts), .ctx = &soft, .name = "second" };

	refused((struct ioas_dpdk_opts){ .size = 8 }, -EINVAL, "size: 8");
	refused((struct ioas_dpdk_opts){ .flags = 1 << 30 }, -EINVAL, "flags: 0x40000000");
	refused((struct ioas_dpdk_opts){ .flags = IOAS_DPDK_NO_MEMORY | IOAS_DPDK_REGISTER },
		-EINVAL, "flags: NO_MEMORY excludes");
	refused((struct ioas_dpdk_opts){ .name = "a/b" }, -EINVAL, "name: 'a/b'");
	refused((struct ioas_dpdk_opts){ .name = "" }, -EINVAL, "name: ''");
	refused((struct ioas_dpdk_opts){ .name = "a-name-of-more-than-thirty-one-letters" },
		-EINVAL, "not shorter than 32");
	refused((struct ioas_dpdk_opts){ .name = "ioas" }, -EEXIST, "'ioas' is open already");
	refused((struct ioas_dpdk_opts){ .name = "x", .ctx = &nowhere }, -ENODEV, "nowhere");
	refused((struct ioas_dpdk_opts){ .name = "x", .space = &bad }, -EINVAL, "kind");
	refused((struct ioas_dpdk_opts){ .name = "x", .space = &narrow }, -ERANGE,
		"outside the aperture");
	refused((struct ioas_dpdk_opts){ .name = "x", .devices = unnamed, .device_count = 1 },
		-EINVAL, "bind");
	refused((struct ioas_dpdk_opts){ .name = "x", .devices = twice, .device_count = 2 }, -EBUSY,
		"device a: bind");
	/* Two at once, each with all of EAL's memory. */
	CHECK(ioas_dpdk_open(&opts, &second) == 0, "second");
	CHECK(ioas_dpdk_find("second") == second && ioas_dpdk_find(NULL) == first, "names");
	CHECK(rig_stats(second).bytes == rig_stats(first).bytes, "memory");
	CHECK(ioas_dpdk_close(second) == 0, "close");
	rig_check_follows(first, 0);
	rig_close(first);
}

/* The application's own objects keep it open; what was mapped is not any more. */
static void busy(void)
{
	struct ioas_dpdk *glue = rig_open(NULL);
	struct ioas_queue *queue;

	CHECK(ioas_queue_create(ioas_dpdk_space(glue), &queue) == 0, "queue");
	rig_log_start();
	CHECK(ioas_dpdk_close(glue) == -EBUSY, "close");
	CHECK(rig_log_has("space"), "text");
	CHECK(ioas_queue_destroy(queue) == 0, "queue");
	rig_close(glue);
}

static void devices(void)
{
	struct ioas_dpdk *glue = rig_open(NULL);
	struct ioas_dev *dev = NULL;
	char *block = rte_malloc(NULL, 4096, 4096);
	uint64_t iova;
	size_t bytes = 1;
	uint8_t byte = 7;

	CHECK(ioas_dpdk_lookup(glue, block, &bytes, &iova) == 0, "lookup");
	CHECK(ioas_dpdk_dev_add(glue, "0000:00:04.0", &dev) == 0, "add");
	CHECK(ioas_dpdk_dev_add(glue, "0000:00:04.0", &dev) == -EBUSY, "twice");
	CHECK(ioas_soft_dma_write(dev, iova, &byte, 1) == 0 && block[0] == 7, "DMA");
	CHECK(ioas_dpdk_dev_remove(glue, "0000:00:04.0") == 0, "remove");
	CHECK(ioas_dpdk_dev_remove(glue, "0000:00:04.0") == -ENOENT, "twice");
	/* EAL's monitor reports a removal. */
	CHECK(ioas_dpdk_dev_add(glue, "0000:00:05.0", &dev) == 0, "add");
	rte_dev_event_callback_process("0000:00:05.0", RTE_DEV_EVENT_ADD);
	CHECK(rig_find_dev(glue, "0000:00:05.0") != NULL, "after another event");
	rte_dev_event_callback_process("0000:00:05.0", RTE_DEV_EVENT_REMOVE);
	CHECK(rig_find_dev(glue, "0000:00:05.0") == NULL, "it is still bound");
	CHECK(ioas_dpdk_dev_remove(glue, "0000:00:05.0") == -ENOENT, "remove");
	CHECK(ioas_dpdk_dev_add(glue, "0000:00:05.0", &dev) == 0, "plugged again");
	rte_free(block);
	rig_close(glue);
}

static struct ioas_dpdk *glue_of_lcores;
static struct ioas_queue *queue_of_worker;

static int map_on_lcore(void *arg)
{
	struct ioas_queue *queue = ioas_dpdk_queue(glue_of_lcores);
	size_t bytes = 64;
	ioas_iova_t iova;

	queue_of_worker = queue;
	CHECK(queue != NULL && queue == ioas_dpdk_queue(glue_of_lcores), "one queue");
	CHECK(ioas_translate(queue, arg, &bytes, &iova) == 0 && bytes == 64, "translate");
	return 0;
}

static void *no_lcore(void *arg)
{
	rig_log_start();
	CHECK(ioas_dpdk_queue(arg) == NULL, "a queue for no lcore");
	CHECK(rig_log_has("rte_thread_register()"), "text");
	CHECK(rte_thread_register() == 0, "register");
	CHECK(ioas_dpdk_queue(arg) != NULL, "a queue for an lcore");
	rte_thread_unregister();
	return NULL;
}

static void queues(void)
{
	const unsigned int worker = rte_get_next_lcore(-1, 1, 0);
	struct ioas_dpdk *glue = rig_open(NULL);
	struct ioas_stats stats = { .size = sizeof(stats) };
	char *block = rte_malloc(NULL, 4096, 4096);
	pthread_t thread;

	glue_of_lcores = glue;
	map_on_lcore(block);
	CHECK(rte_eal_remote_launch(map_on_lcore, block, worker) == 0, "launch");
	rte_eal_wait_lcore(worker);
	CHECK(queue_of_worker != ioas_dpdk_queue(glue), "lcores share a queue");
	/* A thread that comes after another under the same lcore number owns its queue. */
	for (unsigned int i = 0; i < 2; i++) {
		CHECK(pthread_create(&thread, NULL, no_lcore, glue) == 0, "thread");
		pthread_join(thread, NULL);
	}
	CHECK(ioas_queue_stats(ioas_dpdk_queue(glue), &stats) == 0 && stats.maps == 0, "stats");
	stats.size = 3;
	CHECK(ioas_queue_stats(ioas_dpdk_queue(glue), &stats) == -EINVAL, "stats of a bad size");
	rte_free(block);
	rig_close(glue);
}

/* Unmap waits for lcores that report to the application's own variable. */
static struct rte_rcu_qsbr *qsbr;
static volatile int stage;

static int reader(void *arg)
{
	const unsigned int id = rte_lcore_id();

	rte_rcu_qsbr_thread_register(qsbr, id);
	rte_rcu_qsbr_thread_online(qsbr, id);
	stage = 1;
	while (stage != 2)
		rte_pause();
	rte_delay_us_sleep(30000); /* still in use */
	stage = 3;
	rte_rcu_qsbr_quiescent(qsbr, id);
	rte_rcu_qsbr_thread_offline(qsbr, id);
	rte_rcu_qsbr_thread_unregister(qsbr, id);
	return 0;
}

static void quiescent(void)
{
	const unsigned int worker = rte_get_next_lcore(-1, 1, 0);
	struct rte_rcu_qsbr *other = rte_malloc(NULL, rte_rcu_qsbr_get_memsize(RTE_MAX_LCORE), 64);
	struct ioas_dpdk_opts opts = { .flags = 0 };
	char *va = rig_reserve(MIB, 2 * MIB);
	struct ioas_dpdk *glue;

	qsbr = rte_malloc(NULL, rte_rcu_qsbr_get_memsize(RTE_MAX_LCORE), 64);
	rte_rcu_qsbr_init(qsbr, RTE_MAX_LCORE);
	rte_rcu_qsbr_init(other, RTE_MAX_LCORE);
	opts.qsbr = qsbr;
	glue = rig_open(&opts);
	refused((struct ioas_dpdk_opts){ .name = "x", .qsbr = other }, -EBUSY, "qsbr: ");
	CHECK(ioas_dpdk_map(glue, va, MIB, RTE_BAD_IOVA) == 0, "map");
	stage = 0;
	CHECK(rte_eal_remote_launch(reader, NULL, worker) == 0, "launch");
	while (stage != 1)
		rte_pause();
	/* EAL's own pages come and go without a wait: the reader might be in rte_malloc() itself.
	 */
	rte_free(rte_malloc(NULL, 8 * MIB, 0));
	CHECK(stage == 1, "stage %d", stage);
	stage = 2;
	CHECK(ioas_dpdk_unmap(glue, va, MIB) == 0, "unmap");
	CHECK(stage == 3, "unmap has not waited for the reader");
	rte_eal_wait_lcore(worker);
	rig_close(glue);
	rte_free(qsbr);
	rte_free(other);
}

/* mbufs. */

static struct rte_mempool *make_pool(const char *name, unsigned int count)
{
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create(name, count, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, 0);

	CHECK(pool != NULL, "pool %s", name);
	return pool;
}

/* What the device reads through the runs is what the mbuf holds. */
static void check_runs(struct ioas_queue *queue, struct rte_mbuf *mbuf, unsigned int wanted)
{
	static uint8_t there[65536], here[65536];
	struct ioas_hit hit = { 0 };
	struct ioas_run runs[32];
	const uint32_t length = rte_pktmbuf_pkt_len(mbuf);
	uint64_t bytes = 0;
	int count, again;

	for (unsigned int at = 0; at < length; at++)
		here[at] = (uint8_t)(at * 7 + 3);
	for (struct rte_mbuf *segment = mbuf; segment != NULL; segment = segment->next) {
		memcpy(rte_pktmbuf_mtod(segment, void *), here + bytes, segment->data_len);
		bytes += segment->data_len;
	}
	count = ioas_dpdk_runs(queue, &hit, mbuf, runs, RTE_DIM(runs));
	CHECK(count == (int)wanted, "%d runs, %u wanted", count, wanted);
	bytes = 0;
	for (int i = 0; i < count; i++) {
		CHECK(ioas_soft_dma_read(rig_dev, runs[i].iova, there + bytes, runs[i].bytes) == 0,
		      "run %d", i);
		bytes += runs[i].bytes;
	}
	CHECK(bytes == length && memcmp(here, there, length) == 0, "%" PRIu64 " bytes of %u", bytes,
	      length);
	again = ioas_dpdk_runs(queue, &hit, mbuf, runs, wanted);
	CHECK(again == (int)wanted, "with just the room: %d", again);
	again = ioas_dpdk_runs(queue, &hit, mbuf, runs, wanted - 1);
	CHECK(again == -E2BIG, "without room: %d", again);
}

static void no_free(void *va, void *arg)
{
}

static void mbufs(void)
{
	struct rte_mempool *pool = make_pool("mbufs", 63);
	struct ioas_dpdk *glue = rig_open(NULL);
	struct ioas_queue *queue = ioas_dpdk_queue(glue);
	struct rte_mbuf_ext_shared_info shared = { .free_cb = no_free };
	char *outside = rig_reserve(2 * MIB, 2 * MIB);
	struct ioas_hit hit = { 0 };
	struct rte_mbuf *head, *tail, *attached;
	struct ioas_run run;

	CHECK(ioas_dpdk_pool_check(glue, pool) == 0, "pool");
	/* One segment. */
	head = rte_pktmbuf_alloc(pool);
	CHECK(rte_pktmbuf_append(head, 1500) != NULL, "append");
	check_runs(queue, head, 1);
	/* Three segments. */
	for (unsigned int i = 0; i < 2; i++) {
		tail = rte_pktmbuf_alloc(pool);
		CHECK(rte_pktmbuf_append(tail, 700 + i) != NULL, "append");
		CHECK(rte_pktmbuf_chain(head, tail) == 0, "chain");
	}
	check_runs(queue, head, 3);
	/* A segment of external memory, which must be mapped first. */
	attached = rte_pktmbuf_alloc(pool);
	rte_mbuf_ext_refcnt_set(&shared, 1);
	rte_pktmbuf_attach_extbuf(attached, outside, RTE_BAD_IOVA, 65000, &shared);
	CHECK(rte_pktmbuf_append(attached, 9000) != NULL, "append");
	CHECK(rte_pktmbuf_chain(head, attached) == 0, "chain");
	CHECK(ioas_dpdk_runs(queue, &hit, head, &run, 1) == -E2BIG, "no room");
	CHECK(ioas_dpdk_runs(queue, &hit, attached, &run, 1) == -ENOENT, "not mapped");
	CHECK(ioas_dpdk_map(glue, outside, 2 * MIB, RTE_BAD_IOVA) == 0, "map");
	check_runs(queue, head, 4);
	/* Neighbours are one run: two halves of one external buffer. */
	rte_pktmbuf_free(head);
	head = rte_pktmbuf_alloc(pool);
	tail = rte_pktmbuf_alloc(pool);
	rte_mbuf_ext_refcnt_set(&shared, 2);
	rte_pktmbuf_attach_extbuf(head, outside, RTE_BAD_IOVA, 1000, &shared);
	rte_pktmbuf_attach_extbuf(tail, outside + 1000, RTE_BAD_IOVA, 1000, &shared);
	CHECK(rte_pktmbuf_append(head, 1000) != NULL && rte_pktmbuf_append(tail, 500) != NULL &&
		      rte_pktmbuf_chain(head, tail) == 0,
	      "halves");
	check_runs(queue, head, 1);
	/* What was unmapped is not found by what was remembered. */
	CHECK(ioas_dpdk_runs(queue, &hit, head, &run, 1) == 1, "mapped");
	CHECK(ioas_dpdk_unmap(glue, outside, 2 * MIB) == 0, "unmap");
	CHECK(ioas_dpdk_runs(queue, &hit, head, &run, 1) == -ENOENT, "unmapped");
	rte_pktmbuf_free(head);
	rig_close(glue);
	rte_mempool_free(pool);
}

/* A pool whose mbufs are bound to external buffers for good. */
static void pinned(void)
{
	struct rte_pktmbuf_extmem memory = { .buf_len = 2 * MIB, .elt_size = 4096 };
	struct ioas_dpdk *glue = rig_open(NULL);
	struct rte_mempool *pool;
	struct rte_mbuf *mbuf;

	memory.buf_ptr = rig_reserve(2 * MIB, 2 * MIB);
	memory.buf_iova = (uintptr_t)memory.buf_ptr;
	pool = rte_pktmbuf_pool_create_extbuf("pinned", 63, 0, 0, 2048, 0, &memory, 1);
	CHECK(pool != NULL, "pool");
	rig_log_start();
	CHECK(ioas_dpdk_pool_check(glue, pool) == -ENOENT, "nobody has mapped it");
	CHECK(rig_log_has("pool pinned: buffer 0"), "text");
	CHECK(ioas_dpdk_map(glue, memory.buf_ptr, memory.buf_len, 1 << 30) == 0, "map");
	rig_log_start();
	CHECK(ioas_dpdk_pool_check(glue, pool) == -EXDEV, "elsewhere than its mbufs say");
	CHECK(rig_log_has("is mapped at 0x4"), "text");
	CHECK(ioas_dpdk_unmap(glue, memory.buf_ptr, memory.buf_len) == 0, "unmap");
	CHECK(ioas_dpdk_map(glue, memory.buf_ptr, memory.buf_len, memory.buf_iova) == 0, "map");
	CHECK(ioas_dpdk_pool_check(glue, pool) == 0, "mapped");
	mbuf = rte_pktmbuf_alloc(pool);
	CHECK(RTE_MBUF_HAS_PINNED_EXTBUF(mbuf), "pinned");
	CHECK(rte_pktmbuf_append(mbuf, 1800) != NULL, "append");
	check_runs(ioas_dpdk_queue(glue), mbuf, 1);
	rte_pktmbuf_free(mbuf);
	rte_mempool_free(pool);
	rig_close(glue);
}

static unsigned int faults_seen;

static void on_fault(void *arg, const struct ioas_fault *fault)
{
	CHECK(arg == &faults_seen, "argument");
	__atomic_add_fetch(&faults_seen, 1, __ATOMIC_RELAXED);
}

/* Faults reach the application, too. telemetry() reads what is kept of them. */
static void faults(void)
{
	struct ioas_ctx_opts ctx = {
		.size = sizeof(ctx), .backend = "soft", .fault = on_fault, .fault_arg = &faults_seen
	};
	struct ioas_dpdk_opts opts = { .ctx = &ctx };
	struct ioas_dpdk *glue = rig_open(&opts);
	struct ioas_fault fault;
	uint8_t byte = 0;

	CHECK(ioas_soft_dma_write(rig_dev, 0x123000, &byte, 1) == -EFAULT, "DMA");
	for (unsigned int i = 0; i < 1000 && __atomic_load_n(&faults_seen, __ATOMIC_RELAXED) == 0;
	     i++)
		usleep(1000);
	CHECK(__atomic_load_n(&faults_seen, __ATOMIC_RELAXED) == 1, "%u faults", faults_seen);
	rig_close(glue);
	opts = (struct ioas_dpdk_opts){ .flags = IOAS_DPDK_POLL_FAULTS };
	glue = rig_open(&opts);
	CHECK(ioas_soft_dma_write(rig_dev, 0x123000, &byte, 1) == -EFAULT, "DMA");
	CHECK(ioas_fault_poll(ioas_dpdk_ctx(glue), &fault, 1) == 1 && fault.iova == 0x123000,
	      "poll");
	rig_close(glue);
}

/* Closed by rte_eal_cleanup(), after which rig_main() looks. */
static void left_open(void)
{
	struct ioas_dpdk *glue = rig_open(NULL);

	CHECK(ioas_dpdk_queue(glue) != NULL, "queue");
}

/* EAL's own socket, as dpdk-telemetry.py uses it. */
static int telemetry_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char hello[16384];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/dpdk_telemetry.v2",
		 rte_eal_get_runtime_dir());
	CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s: %s",
	      address.sun_path, strerror(errno));
	CHECK(read(fd, hello, sizeof(hello)) > 0, "hello");
	return fd;
}

static void answers(int fd, const char *command, const char *wanted)
{
	char text[16384];
	ssize_t bytes;

	CHECK(write(fd, command, strlen(command)) == (ssize_t)strlen(command), "%s", command);
	bytes = read(fd, text, sizeof(text) - 1);
	CHECK(bytes > 0, "%s: no answer", command);
	text[bytes] = '\0';
	CHECK(strstr(text, wanted) != NULL, "%s: no %s in %s", command, wanted, text);
}

static void telemetry(void)
{
	struct ioas_ctx_opts ctx = {
		.size = sizeof(ctx), .backend = "soft", .fault = on_fault, .fault_arg = &faults_seen
	};
	struct ioas_dpdk_opts opts = { .ctx = &ctx },
			      other = { .size = sizeof(other), .name = "other", .ctx = &soft };
	struct ioas_dpdk *glue = rig_open(&opts), *second;
	const int fd = telemetry_socket();
	char *va = rig_reserve(2 * MIB, 2 * MIB);
	char text[128];
	uint8_t byte = 0;

	faults_seen = 0;
	CHECK(ioas_dpdk_open(&other, &second) == 0, "second");
	CHECK(ioas_dpdk_queue(glue) != NULL, "queue");
	answers(fd, "/ioas/list", "\"other\"");
	answers(fd, "/ioas/list", "\"ioas\"");
	answers(fd, "/ioas/info,ioas", "\"backend\":\"soft\"");
	answers(fd, "/ioas/info,other", "\"kind\":\"KERNEL\"");
	snprintf(text, sizeof(text), "\"memory_bytes\":%" PRIu64, rig_stats(glue).bytes);
	answers(fd, "/ioas/info", text);
	answers(fd, "/ioas/devices,ioas", "[\"" RIG_DEVICE "\"]");
	answers(fd, "/ioas/devices,other", "[]");
	answers(fd, "/ioas/queues,ioas", "{\"lcore0_maps\":0,");
	CHECK(ioas_dpdk_map(glue, va, 2 * MIB, RTE_BAD_IOVA) == 0, "map");
	snprintf(text, sizeof(text), "0x%" PRIxPTR " +0x200000 at 0x%" PRIxPTR, (uintptr_t)va,
		 (uintptr_t)va);
	answers(fd, "/ioas/memory,ioas", text);
	CHECK(ioas_soft_dma_write(rig_dev, 0x123456, &byte, 1) == -EFAULT, "DMA");
	for (unsigned int i = 0; i < 1000 && __atomic_load_n(&faults_seen, __ATOMIC_RELAXED) == 0;
	     i++)
		usleep(1000);
	answers(fd, "/ioas/faults,ioas", "[\"" RIG_DEVICE " 0x123000 write not present\"]");
	answers(fd, "/ioas/stats,ioas", "\"faults\":1,");
	answers(fd, "/ioas/stats,other", "\"faults\":0,");
	answers(fd, "/ioas/stats,nothing", "null");
	CHECK(ioas_dpdk_close(second) == 0, "close");
	answers(fd, "/ioas/list", "[\"ioas\"]");
	answers(fd, "/ioas/info,other", "null");
	rig_close(glue);
	answers(fd, "/ioas/list", "[]");
	close(fd);
}

static const struct rig_case cases[] = {
	{ "options", options },
	{ "busy", busy },
	{ "devices", devices },
	{ "queues", queues },
	{ "quiescent", quiescent },
	{ "mbufs", mbufs },
	{ "pinned", pinned },
	{ "faults", faults },
	{ "telemetry", telemetry },
	{ "left_open", left_open },
	{ NULL, NULL },
};

int main(int argc, char **argv)
{
	return rig_main(argc, argv, cases);
}
