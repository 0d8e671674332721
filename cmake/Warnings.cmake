# SPDX-License-Identifier: MIT
# Link it PRIVATE, to targets of this project alone: whoever uses the library chooses their own warnings.
add_library(instancer_warnings INTERFACE)
if(INSTANCER_WARNINGS)
    target_compile_options(instancer_warnings INTERFACE
        -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual
        # g++ sees strange deletes in coroutine frames, and g++ 12 overlaps and overflows in std::string, where there are none.
        $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict;-Wno-stringop-overflow;-Wno-mismatched-new-delete>
        $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,13>>:-Wno-mismatched-new-delete>
        # clang blames whoever uses std::stable_sort for what libstdc++ 12 does in it; g++ warns of what is deprecated, too.
        $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>
        $<$<BOOL:${INSTANCER_WERROR}>:-Werror>)
endif()
