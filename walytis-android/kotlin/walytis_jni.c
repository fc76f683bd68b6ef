/*
 * The bridge from Walytis.kt to walytis.h. Texts come as bytes of UTF-8 with a 0 at their end. A failure is thrown as a
 * WalytisFailure. What waits does so without holding anything of Java's but references to arrays.
 */
#include <jni.h>
#include <string.h>

#include "walytis.h"

#define EXPORT(type, name) JNIEXPORT type JNICALL Java_net_walytis_Walytis_##name

/* Throws, unless all is well. Nothing of the library may be called before, since that changes its last error. */
static int failed(JNIEnv *env, walytis_status status) {
    if (status == WALYTIS_OK) {
        return 0;
    }
    const char *text = walytis_last_error();
    jsize length = (jsize)strlen(text);
    jbyteArray bytes = (*env)->NewByteArray(env, length);
    if (bytes == NULL) {
        return 1;
    }
    (*env)->SetByteArrayRegion(env, bytes, 0, length, (const jbyte *)text);
    jclass failure = (*env)->FindClass(env, "net/walytis/WalytisFailure");
    jmethodID make = failure == NULL ? NULL : (*env)->GetMethodID(env, failure, "<init>", "(I[B)V");
    if (make != NULL) {
        jthrowable thrown = (*env)->NewObject(env, failure, make, (jint)status, bytes);
        if (thrown != NULL) {
            (*env)->Throw(env, thrown);
        }
    }
    return 1;
}

/* The bytes of an array, which `put` gives back unchanged; null after an exception. */
static jbyte *get(JNIEnv *env, jbyteArray array) {
    return (*env)->GetByteArrayElements(env, array, NULL);
}

static void put(JNIEnv *env, jbyteArray array, jbyte *bytes) {
    if (bytes != NULL) {
        (*env)->ReleaseByteArrayElements(env, array, bytes, JNI_ABORT);
    }
}

/* As `put`, for a secret: Java may have given a copy, which is overwritten. The array itself is the caller's to overwrite. */
static void put_secret(JNIEnv *env, jbyteArray array, jbyte *bytes, jsize length, jboolean copied) {
    if (bytes != NULL && copied) {
        for (volatile jbyte *byte = bytes; byte != bytes + length; byte++) {
            *byte = 0;
        }
    }
    put(env, array, bytes);
}

static jbyteArray array_of(JNIEnv *env, const void *bytes, size_t length) {
    jbyteArray array = (*env)->NewByteArray(env, (jsize)length);
    if (array != NULL) {
        (*env)->SetByteArrayRegion(env, array, 0, (jsize)length, bytes);
    }
    return array;
}

EXPORT(void, create)(JNIEnv *env, jclass class, jbyteArray home, jbyteArray key) {
    (void)class;
    jboolean copied = JNI_FALSE;
    jsize length = (*env)->GetArrayLength(env, key);
    jbyte *path = get(env, home), *secret = (*env)->GetByteArrayElements(env, key, &copied);
    walytis_status status = walytis_create((char *)path, WALYTIS_KEY, (uint8_t *)secret, (size_t)length);
    put_secret(env, key, secret, length, copied);
    put(env, home, path);
    failed(env, status);
}

EXPORT(jlong, open)(JNIEnv *env, jclass class, jbyteArray home, jbyteArray key, jbyteArray listen, jint reach) {
    (void)class;
    walytis_node node = 0;
    jboolean copied = JNI_FALSE;
    jsize length = (*env)->GetArrayLength(env, key);
    jbyte *path = get(env, home), *places = get(env, listen), *secret = (*env)->GetByteArrayElements(env, key, &copied);
    const walytis_options options = {(char *)places, NULL, (uint32_t)reach};
    walytis_status status = walytis_open((char *)path, WALYTIS_KEY, (uint8_t *)secret, (size_t)length, &options, &node);
    put_secret(env, key, secret, length, copied);
    put(env, listen, places);
    put(env, home, path);
    return failed(env, status) ? 0 : (jlong)node;
}

EXPORT(void, close)(JNIEnv *env, jclass class, jlong node) {
    (void)class;
    failed(env, walytis_close((walytis_node)node));
}

EXPORT(void, createGroup)(JNIEnv *env, jclass class, jlong node, jbyteArray name) {
    (void)class;
    jbyte *group = get(env, name);
    walytis_status status = walytis_group_create((walytis_node)node, (char *)group, WALYTIS_HISTORY_ALL);
    put(env, name, group);
    failed(env, status);
}

EXPORT(jbyteArray, invite)(JNIEnv *env, jclass class, jlong node, jbyteArray name, jint uses) {
    (void)class;
    walytis_text code = 0;
    const char *characters = NULL;
    size_t length = 0;
    jbyte *group = get(env, name);
    walytis_status status = walytis_group_invite((walytis_node)node, (char *)group, (uint32_t)uses, &code);
    put(env, name, group);
    if (failed(env, status)) {
        return NULL;
    }
    walytis_text_read(code, &characters, &length);
    jbyteArray array = array_of(env, characters, length);
    walytis_release(code);
    return array;
}

EXPORT(void, join)(JNIEnv *env, jclass class, jlong node, jbyteArray code, jbyteArray name) {
    (void)class;
    jbyte *invitation = get(env, code), *group = get(env, name);
    walytis_status status = walytis_group_join((walytis_node)node, (char *)invitation, (char *)group, NULL);
    put(env, name, group);
    put(env, code, invitation);
    failed(env, status);
}

EXPORT(jbyteArray, post)(JNIEnv *env, jclass class, jlong node, jbyteArray name, jbyteArray content) {
    (void)class;
    uint8_t id[32];
    jbyte *group = get(env, name), *bytes = get(env, content);
    size_t length = (size_t)(*env)->GetArrayLength(env, content);
    walytis_status status = walytis_post((walytis_node)node, (char *)group, (uint8_t *)bytes, length, NULL, 0, id);
    put(env, content, bytes);
    put(env, name, group);
    return failed(env, status) ? NULL : array_of(env, id, sizeof id);
}

EXPORT(jlong, subscribe)(JNIEnv *env, jclass class, jlong node, jbyteArray name) {
    (void)class;
    walytis_events events = 0;
    jbyte *group = get(env, name);
    walytis_status status = walytis_subscribe((walytis_node)node, (char *)group, WALYTIS_FROM_START, &events);
    put(env, name, group);
    return failed(env, status) ? 0 : (jlong)events;
}

EXPORT(jobject, next)(JNIEnv *env, jclass class, jlong events, jlong timeout_ms) {
    (void)class;
    walytis_event event = 0;
    walytis_event_view view;
    walytis_status status = walytis_next_event((walytis_events)events, timeout_ms, &event);
    if (status == WALYTIS_TIMED_OUT || status == WALYTIS_CLOSED || failed(env, status)) {
        return NULL;
    }
    jobject made = NULL;
    if (!failed(env, walytis_event_read(event, &view))) {
        jclass shown = (*env)->FindClass(env, "net/walytis/WalytisEvent");
        jmethodID make = shown == NULL ? NULL : (*env)->GetMethodID(env, shown, "<init>", "([B[BJ[B)V");
        jbyteArray id = array_of(env, view.id, sizeof view.id), author = array_of(env, view.author, sizeof view.author);
        jbyteArray content = view.content == NULL ? NULL : array_of(env, view.content, view.content_length);
        if (make != NULL && id != NULL && author != NULL && (content != NULL || view.content == NULL)) {
            made = (*env)->NewObject(env, shown, make, id, author, (jlong)view.created_at_ms, content);
        }
    }
    walytis_release(event);
    return made;
}

EXPORT(void, release)(JNIEnv *env, jclass class, jlong events) {
    (void)class;
    failed(env, walytis_release((uint64_t)events));
}
