# SPDX-License-Identifier: MIT
# Link it PRIVATE, to targets of this project alone: whoever uses the library chooses their own warnings.
add_library(instancer_warnings INTERFACE)
target_compile_options(instancer_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual
    $<$<BOOL:${INSTANCER_WERROR}>:-Werror>)
