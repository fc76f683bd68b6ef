/* Two homes play through the whole interface, as an app would use it. Prints each part's name once it holds. */
#include "walytis.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No call here may hang: this ends the program if one does. Nothing is measured by it. */
enum { GUARD_SECONDS = 240 };

#define CHECK(holds) check((holds), #holds, __LINE__)

static void check(int holds, const char *what, int line) {
    if (!holds) {
        fprintf(stderr, "line %d: %s does not hold; last error: \"%s\"\n", line, what, walytis_last_error());
        exit(1);
    }
}

#define EXPECT(status, call) expect((status), (call), #call, __LINE__)

static void expect(walytis_status wanted, walytis_status found, const char *call, int line) {
    if (found != wanted) {
        fprintf(stderr, "line %d: %s gave %d instead of %d: \"%s\"\n", line, call, (int)found, (int)wanted,
                walytis_last_error());
        exit(1);
    }
    /* A text says what is wrong, and nothing is said when nothing is. */
    CHECK((found == WALYTIS_OK) == (walytis_last_error()[0] == '\0'));
}

static const uint8_t words[] = "correct horse battery staple";
static const uint8_t key[32] = {7, 0, 7};
static const walytis_options loopback = {"/ip4/127.0.0.1/tcp/0 /ip4/127.0.0.1/udp/0/quic-v1", NULL, 0};

static walytis_node open_first(const char *home) {
    walytis_node node = 0;
    EXPECT(WALYTIS_OK, walytis_open(home, WALYTIS_PASSPHRASE, words, sizeof words - 1, &loopback, &node));
    CHECK(node != 0);
    return node;
}

static walytis_node open_second(const char *home) {
    walytis_node node = 0;
    EXPECT(WALYTIS_OK, walytis_open(home, WALYTIS_KEY, key, sizeof key, &loopback, &node));
    return node;
}

static walytis_events subscribe(walytis_node node, int32_t from) {
    walytis_events events = 0;
    EXPECT(WALYTIS_OK, walytis_subscribe(node, "friends", from, &events));
    return events;
}

/* The next event that has its content, which has to be this one. */
static void next_is(walytis_events events, const char *content, uint32_t topics, const uint8_t *id) {
    for (;;) {
        walytis_event event = 0;
        walytis_event_view view;
        EXPECT(WALYTIS_OK, walytis_next_event(events, -1, &event));
        EXPECT(WALYTIS_OK, walytis_event_read(event, &view));
        CHECK(view.kind == WALYTIS_EVENT_BLOCK || view.kind == WALYTIS_EVENT_CONTENT);
        if (view.content == NULL) {
            CHECK(view.kind == WALYTIS_EVENT_BLOCK && view.content_length == 0 && view.topics_count == 0);
        } else {
            CHECK(view.content_length == strlen(content) && memcmp(view.content, content, view.content_length) == 0);
            CHECK(view.topics_count == topics && view.created_at_ms > 0 && view.generation > 0);
            CHECK(id == NULL || memcmp(view.id, id, sizeof view.id) == 0);
            CHECK(memcmp(view.author, view.device, sizeof view.author) != 0);
            walytis_bytes topic;
            for (uint32_t number = 0; number < topics; number++) {
                EXPECT(WALYTIS_OK, walytis_event_topic(event, number, &topic));
                CHECK(topic.length == 5 && memcmp(topic.bytes, number == 0 ? "plans" : "n\0rth", 5) == 0);
            }
            EXPECT(WALYTIS_ARGUMENT, walytis_event_topic(event, topics, &topic));
        }
        EXPECT(WALYTIS_OK, walytis_release(event));
        EXPECT(WALYTIS_HANDLE, walytis_event_read(event, &view));
        if (view.content != NULL) {
            return;
        }
    }
}

static void homes(const char *first, const char *second) {
    walytis_node node = 99;
    EXPECT(WALYTIS_NOT_FOUND, walytis_open(first, WALYTIS_KEY, key, sizeof key, &loopback, &node));
    EXPECT(WALYTIS_OK, walytis_create(first, WALYTIS_PASSPHRASE, words, sizeof words - 1));
    EXPECT(WALYTIS_EXISTS, walytis_create(first, WALYTIS_PASSPHRASE, words, sizeof words - 1));
    EXPECT(WALYTIS_OK, walytis_create(second, WALYTIS_KEY, key, sizeof key));
    /* One byte too many, and the other kind. */
    EXPECT(WALYTIS_WRONG_SECRET, walytis_open(first, WALYTIS_PASSPHRASE, words, sizeof words, &loopback, &node));
    EXPECT(WALYTIS_WRONG_SECRET, walytis_open(first, WALYTIS_KEY, key, sizeof key, &loopback, &node));
    const walytis_options nowhere = {"/ip4/127.0.0.1/udp/0", NULL, 0};
    EXPECT(WALYTIS_FAILED, walytis_open(second, WALYTIS_KEY, key, sizeof key, &nowhere, &node));
    CHECK(node == 99);
    puts("homes");
}

static void arguments(walytis_node node, const char *home) {
    walytis_node other = 0;
    uint64_t out = 99;
    char long_text[5000];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    const walytis_bytes no_topic = {NULL, 1};
    const walytis_options wrong_reach = {NULL, NULL, 4};
    const walytis_options wrong_relays = {"", "a b c d e", 0};

    EXPECT(WALYTIS_ARGUMENT, walytis_create(NULL, WALYTIS_KEY, key, sizeof key));
    EXPECT(WALYTIS_ARGUMENT, walytis_create("\xff", WALYTIS_KEY, key, sizeof key));
    EXPECT(WALYTIS_ARGUMENT, walytis_create(long_text, WALYTIS_KEY, key, sizeof key));
    EXPECT(WALYTIS_ARGUMENT, walytis_create(home, WALYTIS_KEY, NULL, sizeof key));
    EXPECT(WALYTIS_ARGUMENT, walytis_create(home, WALYTIS_KEY, key, 31));
    EXPECT(WALYTIS_ARGUMENT, walytis_create(home, WALYTIS_PASSPHRASE, key, 0));
    EXPECT(WALYTIS_ARGUMENT, walytis_create(home, WALYTIS_PASSPHRASE, key, SIZE_MAX));
    EXPECT(WALYTIS_ARGUMENT, walytis_create(home, 3, key, sizeof key));
    EXPECT(WALYTIS_ARGUMENT, walytis_open(NULL, WALYTIS_KEY, key, sizeof key, NULL, &other));
    EXPECT(WALYTIS_ARGUMENT, walytis_open(home, WALYTIS_KEY, key, sizeof key, NULL, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_open(home, WALYTIS_KEY, key, sizeof key, &wrong_reach, &other));
    EXPECT(WALYTIS_ARGUMENT, walytis_open(home, WALYTIS_KEY, key, sizeof key, &wrong_relays, &other));
    EXPECT(WALYTIS_ARGUMENT, walytis_group_create(node, NULL, WALYTIS_HISTORY_ALL));
    EXPECT(WALYTIS_ARGUMENT, walytis_group_create(node, "other", 0));
    EXPECT(WALYTIS_FAILED, walytis_group_create(node, "", WALYTIS_HISTORY_ALL));
    EXPECT(WALYTIS_ARGUMENT, walytis_group_invite(node, NULL, 1, &out));
    EXPECT(WALYTIS_ARGUMENT, walytis_group_invite(node, "friends", 1, NULL));
    EXPECT(WALYTIS_FAILED, walytis_group_invite(node, "friends", 0, &out));
    EXPECT(WALYTIS_UNKNOWN_GROUP, walytis_group_invite(node, "enemies", 1, &out));
    EXPECT(WALYTIS_ARGUMENT, walytis_group_join(node, NULL, NULL, NULL));
    EXPECT(WALYTIS_FAILED, walytis_group_join(node, "walytis1nothing", NULL, &out));
    EXPECT(WALYTIS_ARGUMENT, walytis_groups(node, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_post(node, NULL, words, 1, NULL, 0, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_post(node, "friends", NULL, 1, NULL, 0, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_post(node, "friends", words, SIZE_MAX, NULL, 0, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_post(node, "friends", words, 1, NULL, 1, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_post(node, "friends", words, 1, &no_topic, 1, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_post(node, "friends", words, 1, &no_topic, 33, NULL));
    EXPECT(WALYTIS_UNKNOWN_GROUP, walytis_post(node, "enemies", words, 1, NULL, 0, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_subscribe(node, NULL, WALYTIS_FROM_NOW, &out));
    EXPECT(WALYTIS_ARGUMENT, walytis_subscribe(node, "friends", 0, &out));
    EXPECT(WALYTIS_ARGUMENT, walytis_subscribe(node, "friends", WALYTIS_FROM_NOW, NULL));
    EXPECT(WALYTIS_UNKNOWN_GROUP, walytis_subscribe(node, "enemies", WALYTIS_FROM_NOW, &out));
    EXPECT(WALYTIS_ARGUMENT, walytis_next_event(node, 0, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_event_read(node, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_event_topic(node, 0, NULL));
    EXPECT(WALYTIS_ARGUMENT, walytis_text_read(node, NULL, NULL));
    CHECK(out == 99 && other == 0);
    puts("arguments");
}

/* Every function that takes a handle, with one that names something else, or nothing. */
static void wrong_handles(walytis_node node, walytis_events events) {
    const uint64_t wrong[] = {0, events, node + 1000000, UINT64_MAX};
    for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++) {
        uint64_t handle = wrong[index], out = 99;
        walytis_event_view view;
        walytis_bytes topic;
        const char *characters;
        EXPECT(WALYTIS_HANDLE, walytis_group_create(handle, "other", WALYTIS_HISTORY_ALL));
        EXPECT(WALYTIS_HANDLE, walytis_group_invite(handle, "friends", 1, &out));
        EXPECT(WALYTIS_HANDLE, walytis_group_join(handle, "walytis1nothing", NULL, NULL));
        EXPECT(WALYTIS_HANDLE, walytis_groups(handle, &out));
        EXPECT(WALYTIS_HANDLE, walytis_post(handle, "friends", words, 1, NULL, 0, NULL));
        EXPECT(WALYTIS_HANDLE, walytis_subscribe(handle, "friends", WALYTIS_FROM_NOW, &out));
        EXPECT(WALYTIS_HANDLE, walytis_event_read(handle, &view));
        EXPECT(WALYTIS_HANDLE, walytis_event_topic(handle, 0, &topic));
        EXPECT(WALYTIS_HANDLE, walytis_text_read(handle, &characters, NULL));
        EXPECT(WALYTIS_HANDLE, walytis_close(handle));
        EXPECT(WALYTIS_HANDLE, walytis_next_event(handle == events ? node : handle, 0, &out));
        EXPECT(WALYTIS_HANDLE, walytis_release(handle == events ? node : handle));
        CHECK(out == 99);
    }
    puts("wrong handles");
}

static void *wait_for_event(void *events) {
    walytis_event event = 0;
    walytis_status status = walytis_next_event(*(walytis_events *)events, -1, &event);
    return (void *)(intptr_t)status;
}

/* What a thread gets that waits for an event, or is about to, while this one ends its waiting. */
static walytis_status ended_by(walytis_status (*end)(uint64_t), uint64_t handle, walytis_events events) {
    pthread_t thread;
    void *status;
    CHECK(pthread_create(&thread, NULL, wait_for_event, &events) == 0);
    EXPECT(WALYTIS_OK, end(handle));
    CHECK(pthread_join(thread, &status) == 0);
    return (walytis_status)(intptr_t)status;
}

int main(int count, char **values) {
    CHECK(count == 3);
    alarm(GUARD_SECONDS);
    CHECK(walytis_abi_version() == WALYTIS_ABI_VERSION);
    CHECK(walytis_last_error()[0] == '\0');
    homes(values[1], values[2]);

    walytis_node first = open_first(values[1]), second = open_second(values[2]), again = 0;
    EXPECT(WALYTIS_IN_USE, walytis_open(values[2], WALYTIS_KEY, key, sizeof key, &loopback, &again));
    EXPECT(WALYTIS_OK, walytis_group_create(first, "friends", WALYTIS_HISTORY_ALL));
    EXPECT(WALYTIS_FAILED, walytis_group_create(first, "friends", WALYTIS_HISTORY_ALL));

    walytis_text code = 0, joined = 0, names = 0;
    const char *characters = NULL;
    size_t length = 0;
    EXPECT(WALYTIS_OK, walytis_group_invite(first, "friends", 1, &code));
    EXPECT(WALYTIS_OK, walytis_text_read(code, &characters, &length));
    CHECK(strlen(characters) == length && strncmp(characters, "walytis1", 8) == 0);
    EXPECT(WALYTIS_OK, walytis_group_join(second, characters, "friends", &joined));
    EXPECT(WALYTIS_OK, walytis_release(code));
    EXPECT(WALYTIS_OK, walytis_text_read(joined, &characters, NULL));
    CHECK(strcmp(characters, "friends") == 0);
    EXPECT(WALYTIS_OK, walytis_groups(second, &names));
    EXPECT(WALYTIS_OK, walytis_text_read(names, &characters, &length));
    CHECK(strcmp(characters, "friends\n") == 0 && length == 8);
    EXPECT(WALYTIS_OK, walytis_release(joined));
    EXPECT(WALYTIS_OK, walytis_release(names));
    puts("a group of two");

    walytis_events at_first = subscribe(first, WALYTIS_FROM_NOW), at_second = subscribe(second, WALYTIS_FROM_NOW);
    walytis_event event = 99;
    EXPECT(WALYTIS_TIMED_OUT, walytis_next_event(at_second, 0, &event));
    EXPECT(WALYTIS_TIMED_OUT, walytis_next_event(at_second, 1, &event));
    CHECK(event == 99);
    wrong_handles(second, at_second);
    arguments(first, values[1]);

    const walytis_bytes topics[] = {{(const uint8_t *)"plans", 5}, {(const uint8_t *)"n\0rth", 5}};
    uint8_t id[32] = {0}, reply[32] = {0};
    EXPECT(WALYTIS_OK, walytis_post(first, "friends", (const uint8_t *)"Bridge at nine", 14, topics, 2, id));
    next_is(at_second, "Bridge at nine", 2, id);
    EXPECT(WALYTIS_OK, walytis_post(second, "friends", (const uint8_t *)"I come", 6, NULL, 0, reply));
    next_is(at_first, "Bridge at nine", 2, id);
    next_is(at_first, "I come", 0, reply);
    EXPECT(WALYTIS_OK, walytis_post(first, "friends", NULL, 0, NULL, 0, NULL));
    next_is(at_first, "", 0, NULL);
    next_is(at_second, "I come", 0, reply);
    next_is(at_second, "", 0, NULL);
    puts("posts both ways");

    /* From the start, without waiting for anything but the disk. */
    walytis_events all = subscribe(second, WALYTIS_FROM_START);
    next_is(all, "Bridge at nine", 2, id);
    next_is(all, "I come", 0, reply);
    next_is(all, "", 0, NULL);
    EXPECT(WALYTIS_TIMED_OUT, walytis_next_event(all, 0, &event));
    walytis_status status = ended_by(walytis_release, all, all);
    /* The thread may have come too late for its handle. */
    CHECK(status == WALYTIS_CLOSED || status == WALYTIS_HANDLE);
    status = ended_by(walytis_close, second, at_second);
    CHECK(status == WALYTIS_CLOSED);
    EXPECT(WALYTIS_CLOSED, walytis_next_event(at_second, -1, &event));
    EXPECT(WALYTIS_HANDLE, walytis_close(second));
    EXPECT(WALYTIS_HANDLE, walytis_post(second, "friends", words, 1, NULL, 0, NULL));
    EXPECT(WALYTIS_OK, walytis_release(at_second));
    puts("ends");

    /* What was written while a node was away is there once it is back, and all of it is on the disk. */
    EXPECT(WALYTIS_OK, walytis_post(first, "friends", (const uint8_t *)"Where are you", 13, NULL, 0, NULL));
    second = open_second(values[2]);
    all = subscribe(second, WALYTIS_FROM_START);
    next_is(all, "Bridge at nine", 2, id);
    next_is(all, "I come", 0, reply);
    next_is(all, "", 0, NULL);
    next_is(all, "Where are you", 0, NULL);
    EXPECT(WALYTIS_OK, walytis_close(second));
    EXPECT(WALYTIS_OK, walytis_close(first));
    /* What had arrived is not taken back. */
    next_is(at_first, "Where are you", 0, NULL);
    EXPECT(WALYTIS_CLOSED, walytis_next_event(at_first, 0, &event));
    EXPECT(WALYTIS_OK, walytis_release(at_first));
    EXPECT(WALYTIS_OK, walytis_release(all));
    EXPECT(WALYTIS_HANDLE, walytis_release(all));
    puts("all");
    return 0;
}
