# Compiler and linker flags of STYLE: every warning is an error, hardening is always on.
include(CheckCCompilerFlag)
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# gcc 12 moves loads of a list's head past stores to it (docs/adr/0032): types prove nothing about aliasing here.
add_compile_options(-fno-strict-aliasing)
set(TT_SANITIZE "" CACHE STRING "address,undefined | thread | empty")
option(TT_COVERAGE "instrument for coverage" OFF)
option(TT_FUZZ "build the fuzzers (clang, libFuzzer)" OFF)

add_library(tt_flags INTERFACE)
target_include_directories(tt_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_compile_definitions(tt_flags INTERFACE _GNU_SOURCE)
foreach(flag
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes
    -Wold-style-definition -Wundef -Wcast-qual -Wcast-align=strict -Wpointer-arith -Wwrite-strings -Wvla -Wswitch-enum
    -Wimplicit-fallthrough=5 -Wnull-dereference -Wduplicated-cond -Wduplicated-branches -Wlogical-op
    -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero)
  string(MAKE_C_IDENTIFIER "TT_HAVE${flag}" have)
  check_c_compiler_flag(${flag} ${have})
  if(${have})
    target_compile_options(tt_flags INTERFACE ${flag})
  endif()
endforeach()
# Warnings are errors with the compilers that the sources are written against; other versions warn of other things.
if((CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 13) OR
   (CMAKE_C_COMPILER_ID STREQUAL "Clang" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 15))
  target_compile_options(tt_flags INTERFACE -Werror)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  if(TT_SANITIZE STREQUAL "")
    target_compile_options(tt_flags INTERFACE -Wstack-usage=16384)
  endif()
  if(NOT TT_SANITIZE STREQUAL "" OR TT_COVERAGE)
    # Instrumented code gives gcc false positives for these.
    target_compile_options(tt_flags INTERFACE -Wno-null-dereference -Wno-maybe-uninitialized -Wno-restrict)
  endif()
else()
  target_compile_options(tt_flags INTERFACE -Wno-gnu-statement-expression -Wno-gnu-zero-variadic-macro-arguments -Wno-unknown-warning-option
    # gcc is the reference for these two: clang looks into macros of OpenSSL and at asserted texts.
    -Wno-cast-qual -Wno-string-conversion)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
  # Across files: 5 to 10 % less CPU per write. -O3 on top of it gains nothing.
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  target_compile_definitions(tt_flags INTERFACE _FORTIFY_SOURCE=3)
endif()
target_link_options(tt_flags INTERFACE -Wl,-z,relro,-z,now)
if(TT_SANITIZE)
  add_compile_options(-fsanitize=${TT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TT_SANITIZE})
endif()
if(TT_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(TT_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
