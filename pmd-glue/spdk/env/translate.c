/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spdk_vtophys(): any thread, without locks. Each thread has a queue of its own, made when it
 * translates for the first time and destroyed with the thread, or with the environment.
 */
#include "ioas_env.h"

#include <stdlib.h>

struct translator {
	struct translator *next;
	struct ioas_queue *queue;
	struct ioas_hit hit;
	unsigned int generation; /* of the address space that the queue is of, 0 for none */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct translator *translators; /* under the lock */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static __thread struct translator *mine;

/* Under the lock. */
static void destroy(struct translator **link)
{
	struct translator *translator = *link;

	*link = translator->next;
	if (translator->queue) {
		ioas_queue_adopt(translator->queue);
		ioas_queue_destroy(translator->queue);
	}
	translator->queue = NULL;
	translator->generation = 0;
}

static void thread_ends(void *arg)
{
	pthread_mutex_lock(&lock);
	for (struct translator **link = &translators; *link; link = &(*link)->next) {
		if (*link == arg) {
			destroy(link);
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	mine = NULL;
	free(arg);
}

static void make_key(void)
{
	pthread_key_create(&key, thread_ends);
}

/* A queue of the address space of today. Return: false if there is none. */
static bool renew(struct translator *translator)
{
	bool is_new = false;

	pthread_mutex_lock(&lock);
	if (ioas_env.as && !ioas_queue_create(ioas_env.as, &translator->queue)) {
		translator->hit = (struct ioas_hit){ 0 };
		translator->generation = ioas_env.generation;
		translator->next = translators;
		translators = translator;
		is_new = true;
	}
	pthread_mutex_unlock(&lock);
	return is_new;
}

static struct translator *begin(void)
{
	struct translator *translator = mine;

	if (!translator) {
		pthread_once(&once, make_key);
		translator = calloc(1, sizeof(*translator));
		if (!translator || pthread_setspecific(key, translator)) {
			free(translator);
			return NULL;
		}
		mine = translator;
	}
	return renew(translator) ? translator : NULL;
}

/* The calling thread's, or NULL (no memory, no environment). */
static struct translator *current_translator(void)
{
	struct translator *translator = mine;

	if (__builtin_expect(!translator || translator->generation != ioas_env.generation, 0))
		translator = begin();
	return translator;
}

struct ioas_queue *ioas_env_queue(void)
{
	struct translator *translator = current_translator();

	return translator ? translator->queue : NULL;
}

/*
 * Memory that is held (ioas_spdk_env.h) is not mapped by the application, and not under the address
 * that the address space's own cache knows: it comes second. Not more than what is contiguous for
 * the device is promised, and not more than is asked for; without @size, nothing is said of what
 * follows.
 */
uint64_t spdk_vtophys(const void *buf, uint64_t *size)
{
	struct translator *translator = current_translator();
	size_t bytes = size && *size ? *size : 1;
	ioas_iova_t iova;

	if (!translator)
		return SPDK_VTOPHYS_ERROR;
	if (ioas_translate_hit(translator->queue, &translator->hit, buf, &bytes, &iova) &&
	    ioas_regcache_lookup(translator->queue, buf, &bytes, &iova))
		return SPDK_VTOPHYS_ERROR;
	if (size)
		*size = bytes;
	return (uint64_t)iova;
}

/* Other threads have stopped translating; what they have is freed when they end. */
void ioas_env_queues_close(void)
{
	pthread_mutex_lock(&lock);
	while (translators)
		destroy(&translators);
	pthread_mutex_unlock(&lock);
}

/* Always: addresses are those of an address space, never physical ones. */
bool spdk_iommu_is_enabled(void)
{
	return ioas_env.is_open;
}
