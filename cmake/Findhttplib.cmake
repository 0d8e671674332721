# SPDX-License-Identifier: MIT
# Finds cpp-httplib and defines the target httplib::httplib: the CMake package of its authors, of Conan and of vcpkg is
# called httplib; distributions that build it as a library have a pkg-config file, cpp-httplib. Sets httplib_VERSION
# where the version is known.
if(NOT TARGET httplib::httplib)
    # Without a version, since that package says of itself that it is compatible with its own minor version alone.
    find_package(httplib CONFIG QUIET)
    if(NOT TARGET httplib::httplib)
        find_package(PkgConfig QUIET)
        if(PKG_CONFIG_FOUND)
            pkg_check_modules(cpp-httplib QUIET IMPORTED_TARGET cpp-httplib)
        endif()
        set(httplib_VERSION ${cpp-httplib_VERSION})
        if(TARGET PkgConfig::cpp-httplib)
            add_library(httplib::httplib INTERFACE IMPORTED)
            target_link_libraries(httplib::httplib INTERFACE PkgConfig::cpp-httplib)
        endif()
    endif()
endif()
set(httplib_TARGET)
if(TARGET httplib::httplib)
    set(httplib_TARGET httplib::httplib)
endif()

include(FindPackageHandleStandardArgs)
set(httplib_remedy "install cpp-httplib, as by libcpp-httplib-dev, or build without INSTANCER_WITH_DOCKER")
if(NOT httplib_TARGET AND NOT PKG_CONFIG_FOUND)
    set(httplib_remedy "distributions have a pkg-config file of it alone: install pkg-config too")
endif()
find_package_handle_standard_args(httplib REQUIRED_VARS httplib_TARGET VERSION_VAR httplib_VERSION
    REASON_FAILURE_MESSAGE "${httplib_remedy}")
