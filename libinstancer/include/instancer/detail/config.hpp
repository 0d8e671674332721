// SPDX-License-Identifier: MIT
#pragma once

/// Stands before each definition that is compiled into the library, or, without one, into whoever includes it.
#if defined(INSTANCER_SEPARATE_COMPILATION)
#define INSTANCER_DECL
#else
#define INSTANCER_DECL inline
#endif
