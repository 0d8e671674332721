# SPDX-License-Identifier: MIT
# What others need to build with the library: headers, the compiled part, and its CMake package and pkg-config files.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/instancer)
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME development)

set(left_out)
if(NOT INSTANCER_WITH_DOCKER)
    set(left_out PATTERN docker_*.hpp EXCLUDE)
endif()
install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include/instancer ${CMAKE_CURRENT_BINARY_DIR}/include/instancer
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.hpp ${left_out})

# Each component of the package is an export of its own, so that `headers` looks for no dependency of `docker`.
install(TARGETS instancer_headers EXPORT headers)
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
    DESTINATION ${package_dir})

# pkg-config has no file for Asio and tl::expected: where they are not found by themselves, their place is named.
set(pc_cflags "-DASIO_STANDALONE -pthread")
if(Asio_VERSION VERSION_LESS 1.23)
    string(APPEND pc_cflags " -DASIO_HAS_CO_AWAIT -DASIO_HAS_STD_COROUTINE")  # as in FindAsio.cmake
endif()
foreach(directory IN ITEMS ${Asio_INCLUDE_DIR})
    if(NOT directory IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
        string(APPEND pc_cflags " -I${directory}")
    endif()
endforeach()
set(pc_requires instancer-headers)
if(library_type STREQUAL STATIC_LIBRARY AND cpp-httplib_FOUND)
    string(APPEND pc_requires " cpp-httplib")
endif()
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${PROJECT_SOURCE_DIR}/cmake/instancer-headers.pc.in instancer-headers.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/instancer-headers.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(INSTANCER_WITH_DOCKER)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/instancer.pc.in instancer.pc @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/instancer.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
