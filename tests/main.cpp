// SPDX-License-Identifier: MIT
#define DOCTEST_CONFIG_IMPLEMENT  // the next line implies it, but not where the header is already precompiled
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
