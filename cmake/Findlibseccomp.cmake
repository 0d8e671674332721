# SPDX-License-Identifier: MIT
# Finds libseccomp and defines the target libseccomp::libseccomp: Conan has a CMake package of that name, its authors
# have a pkg-config file. Sets libseccomp_VERSION where the version is known.
if(NOT TARGET libseccomp::libseccomp)
    find_package(libseccomp CONFIG QUIET)
    if(NOT TARGET libseccomp::libseccomp)
        find_package(PkgConfig QUIET)
        if(PKG_CONFIG_FOUND)
            pkg_check_modules(seccomp QUIET IMPORTED_TARGET libseccomp)
        endif()
        set(libseccomp_VERSION ${seccomp_VERSION})
        if(TARGET PkgConfig::seccomp)
            add_library(libseccomp::libseccomp INTERFACE IMPORTED)
            target_link_libraries(libseccomp::libseccomp INTERFACE PkgConfig::seccomp)
        endif()
    endif()
endif()
set(libseccomp_TARGET)
if(TARGET libseccomp::libseccomp)
    set(libseccomp_TARGET libseccomp::libseccomp)
endif()

include(FindPackageHandleStandardArgs)
set(libseccomp_remedy "install libseccomp, as by libseccomp-dev, or build without INSTANCER_WITH_OCI")
if(NOT libseccomp_TARGET AND NOT PKG_CONFIG_FOUND)
    set(libseccomp_remedy "distributions have a pkg-config file of it alone: install pkg-config too")
endif()
find_package_handle_standard_args(libseccomp REQUIRED_VARS libseccomp_TARGET VERSION_VAR libseccomp_VERSION
    REASON_FAILURE_MESSAGE "${libseccomp_remedy}")
