/*
 * Walytis for C: private groups of machines that share data with no server at all.
 *
 * HANDLES. What the library holds for its caller is named by a number, which is never 0 and never given twice. The library
 * looks every number up: one that is closed, released, made up or of another kind is refused with WALYTIS_HANDLE, and
 * nothing else happens. A process has at most 16,384 handles at once.
 *
 * ANSWERS. Every function but walytis_abi_version and walytis_last_error returns a walytis_status. Where it is not
 * WALYTIS_OK, what the out parameters point to is as it was, and walytis_last_error says in English what is wrong and what
 * to do. A null pointer is refused with WALYTIS_ARGUMENT wherever its parameter does not say that it may be null. Whatever
 * happens inside, no panic and no exception comes out: WALYTIS_BUG is what is left of it.
 *
 * POINTERS. Texts that are passed in are UTF-8 and end with a 0 byte. What is passed in is read before the function returns,
 * and not kept. What is given out belongs to the library and stays where it is until its handle is released.
 *
 * THREADS. Every function may be called from every thread, and several at once with the same handle. There are no
 * callbacks. These wait, so they do not belong on an app's main thread: walytis_create and walytis_open (a passphrase is
 * stretched, a store is read), walytis_group_create, walytis_group_invite, walytis_post and walytis_subscribe (the disk),
 * walytis_group_join (the network, until all that the inviter has is here), walytis_next_event (others), walytis_close (what
 * was begun). All of them but the first two end with WALYTIS_CLOSED once another thread closes the node; walytis_next_event
 * also once another thread releases its handle. What one thread reads of an event or a text, no other may release
 * meanwhile. After fork(), the child must not call any of this.
 */
#ifndef WALYTIS_H
#define WALYTIS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number of this interface. It grows with each change that a program which was built before would notice. */
#define WALYTIS_ABI_VERSION 1

/* How a call ended. Numbers that this header does not know are failures, too. */
typedef int32_t walytis_status;

#define WALYTIS_OK 0
/* Nothing came in the time that was given. */
#define WALYTIS_TIMED_OUT 1
/* The node is closed, or the handle on which the call waited was released. */
#define WALYTIS_CLOSED 2
/* An argument is null, no UTF-8, too long or not among those that are allowed. */
#define WALYTIS_ARGUMENT 3
/* A handle is not, or no more, one of the kind that is asked for; or there are too many. */
#define WALYTIS_HANDLE 4
/* There is a home already. */
#define WALYTIS_EXISTS 5
/* There is no home. */
#define WALYTIS_NOT_FOUND 6
/* The passphrase or the key is not the one that locks the home. */
#define WALYTIS_WRONG_SECRET 7
/* Somebody has the home open: this process, or another one. */
#define WALYTIS_IN_USE 8
/* There is no such group here. */
#define WALYTIS_UNKNOWN_GROUP 9
/* Anything else; walytis_last_error says what. */
#define WALYTIS_FAILED 10
/* A mistake in the library. Close the node and open it again: what was acknowledged is on the disk. */
#define WALYTIS_BUG 11

/* A running node. */
typedef uint64_t walytis_node;
/* What arrives in a group. */
typedef uint64_t walytis_events;
/* One thing that arrived. */
typedef uint64_t walytis_event;
/* A text of the library's. */
typedef uint64_t walytis_text;

/* WALYTIS_ABI_VERSION as the library was built with. A program that was built with another number should not go on. */
uint32_t walytis_abi_version(void);

/*
 * What went wrong in this thread's last call; an empty text after one that returned WALYTIS_OK. Never null. It stays until
 * this thread's next call of another function of the library. It names files, groups and addresses, and never holds a
 * secret.
 */
const char *walytis_last_error(void);

/* The kinds of secrets that lock a home. */
#define WALYTIS_PASSPHRASE 1 /* UTF-8 text of 1 to 4,096 bytes, stretched by Argon2id with 64 MiB */
#define WALYTIS_KEY 2        /* exactly 32 random bytes, which something else keeps, as Android's Keystore can */

/*
 * Makes a home, a folder with a new device and a new user, in `home`, which must hold none. A home whose creation was cut
 * short is completed.
 *
 * The secret is read from `secret_length` bytes, in which a 0 is nothing special. The library overwrites its copies before
 * it returns; the caller's is the caller's to overwrite.
 *
 * WALYTIS_EXISTS, WALYTIS_FAILED.
 */
walytis_status walytis_create(const char *home, int32_t secret_kind, const uint8_t *secret, size_t secret_length);

/* What finds peers, beside the addresses that invitations carry and that the home remembers. */
#define WALYTIS_REACH_LOCAL 1u   /* look for nodes on the local network, which shows this one to all on it (mDNS) */
#define WALYTIS_REACH_RELAYED 2u /* dial addresses that lead through relays, then try for direct connections */

/* How a node is on the network. Addresses are multiaddrs with IP addresses: on Android, host names are not resolved. */
typedef struct walytis_options {
    /*
     * Where to accept connections: addresses with a blank between two, such as "/ip4/0.0.0.0/tcp/0". Null: where the home
     * listened last, or else everywhere, at ports that the system chooses. Empty: nowhere, others are dialled only.
     */
    const char *listen;
    /* Relays at which to ask for a place, so that others reach this node through them: at most 4, ending in /p2p/<peer id>,
     * with a blank between two. May be null. */
    const char *relays;
    /* WALYTIS_REACH_ values, added up. */
    uint32_t reach;
} walytis_options;

/*
 * Opens a home, begins to serve it on the network and gives the node. `options` may be null: that is a null `listen`, no
 * relays and no reach. One process at a time has a home, once.
 *
 * WALYTIS_NOT_FOUND, WALYTIS_WRONG_SECRET, WALYTIS_IN_USE, WALYTIS_FAILED.
 */
walytis_status walytis_open(const char *home, int32_t secret_kind, const uint8_t *secret, size_t secret_length,
                            const walytis_options *options, walytis_node *node);

/*
 * Stops a node: what was asked of it is finished, joins under way excepted. When it returns, all that was acknowledged is on
 * the disk, the home is free, and calls that waited in other threads end. The handle is gone, whatever is returned. Handles of
 * its events stay until they are released: they hold the node's two idle threads.
 *
 * WALYTIS_FAILED: the node had stopped by itself before; what was acknowledged is on the disk all the same.
 */
walytis_status walytis_close(walytis_node node);

/* What newcomers of a group may read. */
#define WALYTIS_HISTORY_ALL 1        /* everything */
#define WALYTIS_HISTORY_SINCE_JOIN 2 /* what is written after they were let in */

/*
 * Makes a group, of which this node's user is the first member and the manager. `name` is this node's own name for it: 1 to 64
 * characters, none of them a control character, no blanks at its ends.
 *
 * WALYTIS_FAILED: the name is taken or cannot be one.
 */
walytis_status walytis_group_create(walytis_node node, const char *name, int32_t history);

/*
 * Opens an invitation by which `uses` others, at least 1, may join a group, and gives its code. Whoever has the code can use
 * it: pass it on as you would a password.
 *
 * WALYTIS_UNKNOWN_GROUP, WALYTIS_FAILED.
 */
walytis_status walytis_group_invite(walytis_node node, const char *group, uint32_t uses, walytis_text *code);

/*
 * Joins a group by an invitation's code, and waits until everything that the inviter had is here. `name` is this node's own
 * name for the group; null: one is found. `joined` gets the name that the group has now, and may be null.
 *
 * WALYTIS_FAILED: nobody answers, or the invitation is spent; walytis_last_error says which.
 */
walytis_status walytis_group_join(walytis_node node, const char *code, const char *name, walytis_text *joined);

/* The names of the groups that this node has, in their order, each followed by a line feed. */
walytis_status walytis_groups(walytis_node node, walytis_text *names);

/* Bytes of the caller's. `bytes` may be null if `length` is 0. */
typedef struct walytis_bytes {
    const uint8_t *bytes;
    size_t length;
} walytis_bytes;

/*
 * Adds a block to a group, which its members alone can read. When it returns, the block is on this node's disk; members get it
 * as soon as they can be reached. `content` has at most 1 MiB, and may be null if `content_length` is 0. There are at most 32
 * `topics` of 256 bytes each; they may be null if `topics_count` is 0. `id` gets the 32 bytes of the block's id, and may be
 * null.
 *
 * WALYTIS_UNKNOWN_GROUP, WALYTIS_FAILED.
 */
walytis_status walytis_post(walytis_node node, const char *group, const uint8_t *content, size_t content_length,
                            const walytis_bytes *topics, size_t topics_count, uint8_t *id);

/* Where events begin. */
#define WALYTIS_FROM_NOW 1   /* with what arrives after this call */
#define WALYTIS_FROM_START 2 /* with everything that is here */

/*
 * Begins to hand out a group's blocks, this node's own included: each once, after its parents. An app may take its time: what
 * it has not taken is read from the disk later.
 *
 * WALYTIS_UNKNOWN_GROUP, WALYTIS_FAILED.
 */
walytis_status walytis_subscribe(walytis_node node, const char *group, int32_t from, walytis_events *events);

/*
 * Gives the next event of a subscription. It waits for `timeout_ms` milliseconds: 0 is not at all, less than 0 for ever. (What
 * is on the disk already is read to the end of its page, whatever the time.) Where several threads ask, each event goes to one
 * of them. What had arrived when the node was closed may still be given before WALYTIS_CLOSED.
 *
 * WALYTIS_TIMED_OUT, WALYTIS_CLOSED, WALYTIS_FAILED: the node has stopped, and why.
 */
walytis_status walytis_next_event(walytis_events events, int64_t timeout_ms, walytis_event *event);

/* What an event is. More kinds may come: pass over those that you do not know. */
#define WALYTIS_EVENT_BLOCK 1   /* a block; its content may still be on its way */
#define WALYTIS_EVENT_CONTENT 2 /* the content of a block that came without it */

/* What is in an event. */
typedef struct walytis_event_view {
    /* A WALYTIS_EVENT_ value. */
    int32_t kind;
    /* How many topics the block has; 0 while its content is on its way. */
    uint32_t topics_count;
    /* The content; null while it is on its way. Not null for an empty one. */
    const uint8_t *content;
    size_t content_length;
    /* The block's place in the group's list, which is the same on every node with the same blocks: by generation, then id. */
    uint64_t generation;
    /* Its place in the order of arrival on this node. */
    uint64_t position;
    /* Its author's clock, in milliseconds since 1970; whatever the author liked to write. */
    uint64_t created_at_ms;
    /* The block's id, the member who wrote it, and the member's device. */
    uint8_t id[32];
    uint8_t author[32];
    uint8_t device[32];
} walytis_event_view;

/* Shows what is in an event. What `view` points to stays until the event is released. */
walytis_status walytis_event_read(walytis_event event, walytis_event_view *view);

/* Shows one topic of an event's block, counted from 0. It stays until the event is released. WALYTIS_ARGUMENT: there is none. */
walytis_status walytis_event_topic(walytis_event event, uint32_t number, walytis_bytes *topic);

/*
 * Shows a text: `length` bytes and a 0 byte behind them. It stays until the text is released. `length` may be null.
 */
walytis_status walytis_text_read(walytis_text text, const char **characters, size_t *length);

/*
 * Lets go of an event, a text or events; a thread that waits for the next of these gets WALYTIS_CLOSED. A text is overwritten
 * before its memory is given back. A node is closed by walytis_close, and refused here.
 */
walytis_status walytis_release(uint64_t handle);

#ifdef __cplusplus
}
#endif

#endif
