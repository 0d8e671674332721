# SPDX-License-Identifier: MIT
# Finds cpp-httplib and defines the target httplib::httplib: the CMake package of its authors, of Conan and of vcpkg is
# called httplib; distributions that build it as a library have a pkg-config file, cpp-httplib.
if(NOT TARGET httplib::httplib)
    find_package(httplib ${httplib_FIND_VERSION} CONFIG QUIET)
endif()
if(TARGET httplib::httplib)
    set(httplib_FOUND TRUE)
    return()
endif()

find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(cpp-httplib QUIET IMPORTED_TARGET cpp-httplib)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(httplib REQUIRED_VARS cpp-httplib_LINK_LIBRARIES VERSION_VAR cpp-httplib_VERSION)

if(httplib_FOUND)
    add_library(httplib::httplib INTERFACE IMPORTED)
    target_link_libraries(httplib::httplib INTERFACE PkgConfig::cpp-httplib)
endif()
