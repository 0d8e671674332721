# SPDX-License-Identifier: MIT
# Finds Asio in its standalone form and defines the target asio::asio. Asio brings no CMake package; where a package
# manager (Conan, vcpkg) adds one, or the project has such a target already, that is the one.
if(NOT TARGET asio::asio)
    find_package(asio ${Asio_FIND_VERSION} CONFIG QUIET)
endif()
if(TARGET asio::asio)
    set(Asio_FOUND TRUE)
    return()
endif()

find_path(Asio_INCLUDE_DIR asio.hpp)
mark_as_advanced(Asio_INCLUDE_DIR)

if(Asio_INCLUDE_DIR AND EXISTS ${Asio_INCLUDE_DIR}/asio/version.hpp)
    # ASIO_VERSION is major * 100000 + minor * 100 + patch.
    file(STRINGS ${Asio_INCLUDE_DIR}/asio/version.hpp line REGEX "^#define ASIO_VERSION [0-9]+")
    string(REGEX MATCH "[0-9]+" number "${line}")
    math(EXPR major "${number} / 100000")
    math(EXPR minor "${number} / 100 % 1000")
    math(EXPR patch "${number} % 100")
    set(Asio_VERSION ${major}.${minor}.${patch})
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Asio REQUIRED_VARS Asio_INCLUDE_DIR VERSION_VAR Asio_VERSION)

if(Asio_FOUND)
    add_library(asio::asio INTERFACE IMPORTED)
    target_include_directories(asio::asio INTERFACE ${Asio_INCLUDE_DIR})
    target_compile_definitions(asio::asio INTERFACE ASIO_STANDALONE)
    if(Asio_VERSION VERSION_LESS 1.23)
        # It knows the coroutines of C++20 with g++ only.
        target_compile_definitions(asio::asio INTERFACE
            $<$<CXX_COMPILER_ID:Clang>:ASIO_HAS_CO_AWAIT> $<$<CXX_COMPILER_ID:Clang>:ASIO_HAS_STD_COROUTINE>)
    endif()
endif()
