#!/bin/sh
# Builds the denominators of `make bench`: a C kernel and simdjson, in a library that the benchmark
# opens at run time, so that nothing we ship links either.
set -eu
cd "$(dirname "$0")/.."
out=.build/bench
mkdir -p "$out"
if ! echo '#include <simdjson.h>' | ${CXX:-c++} -E -x c++ - >/dev/null 2>&1; then
    echo "build-bench: simdjson.h is missing; install libsimdjson-dev" >&2
    exit 1
fi
# Contraction would fuse what our kernel rounds twice, and the states would differ.
${CC:-cc} -O3 -std=gnu11 -Wall -Wextra -ffp-contract=off -fno-math-errno -Wno-psabi -fPIC \
    -c bench/kernel.c -o "$out/kernel.o"
# simdjson's On-Demand is chosen when it is compiled: a portable build would be its slowest.
# In a shared library its small functions would otherwise be called through a table, not inlined.
${CXX:-c++} -O3 -std=c++17 -Wall -DNDEBUG -fPIC -fno-semantic-interposition -march="${BENCH_MARCH:-native}" \
    -c bench/json.cpp -o "$out/json.o"
${CXX:-c++} -shared "$out/kernel.o" "$out/json.o" -lsimdjson -lm -o "$out/libtocsin_bench.so"
echo "$out/libtocsin_bench.so"
