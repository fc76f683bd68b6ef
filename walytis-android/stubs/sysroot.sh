#!/bin/sh
# sysroot.sh PACKAGES SYSROOT: stubs of Android's libraries, the headers, and what programs begin and end with, for API level 24.
#
# The stubs have names and versions, and no code: what links against them is not shown to run. It needs clang-19, lld-19 and
# llvm-19 (Debian 12), and what packages.sh made.
set -eu
packages=$(realpath "$1") sysroot=$2 api=24
rm -rf "$sysroot"
include=$sysroot/usr/include lib=$sysroot/usr/lib/aarch64-linux-android/$api work=$sysroot/work
mkdir -p "$include/android" "$lib" "$work"
clang="clang-19 --target=aarch64-linux-android$api --sysroot=$sysroot -fPIC"

# Headers: musl's and Linux's. Where bionic differs, a word is changed or added.
cp -R "$packages"/musl/usr/include/aarch64-linux-musl/. "$include"
cp -R "$packages"/linux/usr/include/linux "$packages"/linux/usr/include/asm-generic "$include"
cp -R "$packages"/linux/usr/include/aarch64-linux-gnu/asm "$include"
sed -i 's/__errno_location/__errno/g' "$include/errno.h"
printf '#define _SC_PAGESIZE 39\n#define _SC_PAGE_SIZE 40\n#define _SC_NPROCESSORS_CONF 96\n#define _SC_NPROCESSORS_ONLN 97\n' > "$work/sc"
sed -i -e '/#define _SC_\(PAGESIZE\|PAGE_SIZE\|NPROCESSORS_CONF\|NPROCESSORS_ONLN\)\b/d' -e "/#define _SC_ARG_MAX/r $work/sc" "$include/unistd.h"
printf '#pragma once\n#ifndef __ANDROID_API__\n#define __ANDROID_API__ __ANDROID_MIN_SDK_VERSION__\n#endif\n' > "$include/android/api-level.h"
printf '#pragma once\n#define PROP_VALUE_MAX 92\nint __system_property_get(const char *, char *);\n' > "$include/sys/system_properties.h"

# Names and versions: what real binaries ask of API level 24 or below. What came later has the version LIBC_O or another.
# Of API level 21, too, and asked for by none of those binaries.
printf '%s LIBC\n' alarm dup puts statvfs64 timerfd_create timerfd_settime > "$work/more"
find "$packages/android" -type f \( -name '*.so' -o -name '*.node' -o -name bun \) -exec llvm-nm-19 -D --undefined-only {} \; |
    sed -n -e 's/^ *[Uw] \([A-Za-z0-9_]*\)@\(LIBC\|LIBC_N\)$/\1 \2/p' -e 's/^ *U \(__android_log_[a-z_]*\).*/\1 LIBLOG/p' |
    cat - "$work/more" | sort -u > "$work/names"
sed -n 's/^[a-z].*[ *]\([a-z0-9_]\{1,\}\)(.*/\1/p' "$include/math.h" "$include/fenv.h" "$include/complex.h" | sort -u > "$work/math"
awk -v math="$work/math" 'BEGIN { while ((getline name < math) > 0) is_math[name] }
    { print ($2 == "LIBLOG" ? "liblog" : $1 ~ /^(dl|android_dlopen)/ ? "libdl" : $1 in is_math || $1 ~ /^sincos/ ? "libm" : "libc"), $0 }' \
    "$work/names" > "$work/libraries"

for library in libc libm libdl liblog; do
    for version in LIBC LIBC_N LIBLOG; do
        names=$(awk -v l=$library -v v=$version '$1 == l && $3 == v { printf "%s; ", $2 }' "$work/libraries")
        test -z "$names" || echo "$version { global: $names };"
    done > "$work/$library.map"
    awk -v l=$library '$1 == l {
        data = $2 ~ /^(environ|std(in|out|err)|__sF|timezone|daylight|tzname|opt(arg|ind|err|opt)|in6addr_.*|__stack_chk_guard|program_invocation_.*)$/
        printf ".globl %s\n.type %s, %%%s\n%s:\n", $2, $2, data ? "object" : "function", $2
        if (data) printf ".zero 8\n.size %s, 8\n", $2
    }' "$work/libraries" > "$work/$library.s"
    $clang -shared -nostdlib -fuse-ld=lld -Wl,-soname,$library.so -Wl,--version-script="$work/$library.map" \
        -o "$lib/$library.so" "$work/$library.s"
done

# What the program and the library begin and end with.
cat > "$work/crtbegin_dynamic.c" <<'C'
typedef struct { void (**preinit)(void), (**init)(void), (**fini)(void); } structors;
extern void (*__preinit_array_start[])(void), (*__init_array_start[])(void), (*__fini_array_start[])(void);
#pragma weak __preinit_array_start
extern int main(int, char **, char **);
extern void __libc_init(void *, void (*)(void), int (*)(int, char **, char **), const structors *);
__attribute__((used, visibility("hidden"))) void start(void *stack) {
    structors all = { __preinit_array_start, __init_array_start, __fini_array_start };
    __libc_init(stack, 0, &main, &all);
}
__asm__(".globl _start\n_start: mov x29, #0\nmov x30, #0\nmov x0, sp\nb start\n");
__attribute__((visibility("hidden"))) void *__dso_handle = 0;
C
cat > "$work/crtbegin_so.c" <<'C'
__attribute__((visibility("hidden"))) void *__dso_handle = &__dso_handle;
extern void __cxa_finalize(void *);
__attribute__((destructor)) static void unload(void) { __cxa_finalize(&__dso_handle); }
C
cat > "$work/ident.s" <<'S'
.section .note.android.ident, "a", %note
.balign 4
.long 8, 4, 1
.asciz "Android"
.long 24
S
for kind in dynamic so; do
    $clang -O1 -c "$work/crtbegin_$kind.c" -o "$work/begin.o"
    $clang -c "$work/ident.s" -o "$work/ident.o"
    ld.lld-19 -r "$work/begin.o" "$work/ident.o" -o "$lib/crtbegin_$kind.o"
done
echo > "$work/empty.c"
$clang -c "$work/empty.c" -o "$lib/crtend_android.o"
cp "$lib/crtend_android.o" "$lib/crtend_so.o"

# The unwinder: LLVM's own sources.
unwind=$packages/zig/ziglang/lib/libunwind
for source in libunwind.cpp Unwind-sjlj.c UnwindLevel1.c UnwindLevel1-gcc-ext.c UnwindRegistersRestore.S UnwindRegistersSave.S; do
    case $source in *.cpp) flags='-std=c++17 -nostdinc++ -fno-exceptions -fno-rtti' ;; *) flags= ;; esac
    $clang -O2 $flags -funwind-tables -fvisibility=hidden -D_LIBUNWIND_HIDE_SYMBOLS -D_LIBUNWIND_IS_NATIVE_ONLY -DNDEBUG -D_DEFAULT_SOURCE \
        -I "$unwind/include" -c "$unwind/src/$source" -o "$work/$source.o"
done
llvm-ar-19 rcs "$lib/libunwind.a" "$work"/*.cpp.o "$work"/*.c.o "$work"/*.S.o
cp "$work/names" "$sysroot/names"
rm -r "$work"
