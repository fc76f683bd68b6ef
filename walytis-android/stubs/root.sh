#!/bin/sh
# root.sh PACKAGES ROOT: a folder in which an emulator finds musl's loader where programs for Android look for bionic's, and a
# few functions that bionic has and musl has not.
set -eu
packages=$1 root=$2
rm -rf "$root"
mkdir -p "$root/system/bin" "$root/system/lib64"
cp "$packages/musl/lib/aarch64-linux-musl/libc.so" "$root/system/bin/linker64"
cat > "$root/shim.c" <<'C'
/* Names that bionic has and musl has not. */
#include <stddef.h>
extern int *__errno_location(void), __cxa_atexit(void (*)(void *), void *, void *);
extern _Noreturn void __libc_start_main(int (*)(int, char **, char **), int, char **, void *, void *, void *), abort(void);
extern int pthread_atfork(void (*)(void), void (*)(void), void (*)(void));
extern int __xpg_strerror_r(int, char *, size_t);
int *__errno(void) { return __errno_location(); }
_Noreturn void __libc_init(long *stack, void (*exit)(void), int (*main)(int, char **, char **), void *structors) {
    (void)exit, (void)structors;
    __libc_start_main(main, (int)stack[0], (char **)(stack + 1), NULL, NULL, NULL);
    __builtin_unreachable();
}
_Noreturn void __assert2(const char *file, int line, const char *function, const char *what) {
    (void)file, (void)line, (void)function, (void)what;
    abort();
}
void android_set_abort_message(const char *text) { (void)text; }
int __system_property_get(const char *name, char *value) { (void)name; *value = 0; return 0; }
char *__gnu_strerror_r(int number, char *text, size_t length) { __xpg_strerror_r(number, text, length); return text; }
int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *library) {
    (void)library;
    return pthread_atfork(before, parent, child);
}
C
clang-19 --target=aarch64-linux-musl -fuse-ld=lld -shared -fPIC -nostdlib -O1 -Wl,-soname,libshim.so -o "$root/system/lib64/libshim.so" "$root/shim.c"
rm "$root/shim.c"
