# SPDX-License-Identifier: MIT
# Compiles through ccache where there is one. The sloppiness is what ccache asks for to use precompiled headers.
if(CMAKE_CXX_COMPILER_LAUNCHER)
    return()
endif()
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
endif()
