# SPDX-License-Identifier: MIT
# What others need to build with the library: headers, the compiled part, and its CMake package and pkg-config files.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/instancer)
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME development)

set(left_out)
if(NOT INSTANCER_WITH_DOCKER)
    set(left_out PATTERN docker_*.hpp EXCLUDE PATTERN sign*.hpp EXCLUDE)
endif()
if(NOT INSTANCER_WITH_OCI)
    list(APPEND left_out PATTERN oci_*.hpp EXCLUDE)
endif()
install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include/instancer ${CMAKE_CURRENT_BINARY_DIR}/include/instancer
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.hpp ${left_out})

# Each component of the package is an export of its own, so that `headers` looks for no dependency of `docker`.
install(TARGETS instancer_headers EXPORT headers)
set(pc_init)
if(INSTANCER_BUILD_INIT)
    install(TARGETS instancer_init EXPORT headers RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/instancer)
    set(pc_init ${CMAKE_INSTALL_LIBEXECDIR}/instancer/instancer-init)
endif()
if(INSTANCER_WITH_DOCKER)
    install(TARGETS instancer EXPORT docker
        LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
        ARCHIVE COMPONENT development)
    install(EXPORT docker DESTINATION ${package_dir} NAMESPACE instancer:: FILE instancer-docker.cmake)
else()
    install(TARGETS instancer EXPORT headers)
endif()
install(EXPORT headers DESTINATION ${package_dir} NAMESPACE instancer:: FILE instancer-headers.cmake)

get_target_property(library_type instancer TYPE)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/instancer-config.cmake.in instancer-config.cmake
    INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(instancer-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/instancer-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/instancer-config-version.cmake
    ${PROJECT_SOURCE_DIR}/cmake/FindAsio.cmake ${PROJECT_SOURCE_DIR}/cmake/Findhttplib.cmake
    ${PROJECT_SOURCE_DIR}/cmake/Findlibseccomp.cmake
    DESTINATION ${package_dir})

# Where an installation can be moved its pkg-config files find the rest of it from their own place.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
    file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
    string(REGEX REPLACE "/$" "" pc_prefix ${pc_prefix})
    string(PREPEND pc_prefix "\${pcfiledir}/")
endif()
if(pc_init AND NOT IS_ABSOLUTE ${pc_init})
    string(PREPEND pc_init "\${prefix}/")
endif()
foreach(name IN ITEMS includedir libdir)
    string(TOUPPER CMAKE_INSTALL_${name} directory)
    set(pc_${name} ${${directory}})
    if(NOT IS_ABSOLUTE ${pc_${name}})
        string(PREPEND pc_${name} "\${prefix}/")
    endif()
endforeach()

# pkg-config has no file for Asio and tl::expected: where the compiler does not find them by itself, their place is
# named. Its files know no conditions, so that g++ is told of coroutines too, which it knows of anyway.
set(pc_cflags "-DASIO_STANDALONE -DASIO_DISABLE_STD_ALIGNED_ALLOC -pthread")
if(Asio_VERSION AND Asio_VERSION VERSION_LESS 1.23)
    string(APPEND pc_cflags " -DASIO_HAS_CO_AWAIT -DASIO_HAS_STD_COROUTINE")
endif()
list(JOIN CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES "|" implicit)
string(REGEX REPLACE "([][+.*?()^$])" "\\\\\\1" implicit "${implicit}")
foreach(target IN ITEMS asio::asio tl::expected)
    set(directories "$<FILTER:$<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>,EXCLUDE,^(${implicit})$>")
    string(APPEND pc_cflags "$<$<BOOL:${directories}>: -I$<JOIN:${directories}, -I>>")
endforeach()

# instancer_install_pc(NAME)
function(instancer_install_pc name)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/${name}.pc.in ${name}.pc.in @ONLY)
    file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc INPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc.in)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc DESTINATION ${pc_dir})
endfunction()

instancer_install_pc(instancer-headers)
set(pc_requires instancer-headers)
if(library_type STREQUAL STATIC_LIBRARY)
    # Whoever links it needs the very cpp-httplib that it was built with.
    find_package(PkgConfig QUIET)
    if(PKG_CONFIG_FOUND AND httplib_VERSION)
        pkg_check_modules(instancer_httplib QUIET cpp-httplib=${httplib_VERSION})
    endif()
    if(instancer_httplib_FOUND)
        string(APPEND pc_requires " cpp-httplib libcrypto")
        if(INSTANCER_WITH_OCI)
            string(APPEND pc_requires " libarchive libseccomp")
        endif()
    else()
        message(STATUS "No instancer.pc is installed: it would have to require cpp-httplib, which pkg-config does not know")
    endif()
endif()
if(INSTANCER_WITH_DOCKER AND (instancer_httplib_FOUND OR NOT library_type STREQUAL STATIC_LIBRARY))
    instancer_install_pc(instancer)
endif()
