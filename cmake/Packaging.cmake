# SPDX-License-Identifier: MIT
# `cpack -G DEB` makes the Debian package of the daemon. The library is installed by `cmake --install`.
if(BUILD_SHARED_LIBS)
    return()  # the package holds the daemon alone, with the library in it
endif()
set(packaging ${PROJECT_SOURCE_DIR}/apps/instancerd/packaging)
set(CPACK_GENERATOR DEB)
# By DESTDIR, so that what is installed can hold the place where it will be.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL daemon)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_DAEMON_PACKAGE_NAME instancerd)
set(CPACK_DEBIAN_DAEMON_FILE_NAME DEB-DEFAULT)
# The domain is one that reaches nobody: who gives packages to others gives their own address.
set(INSTANCER_MAINTAINER "The instancer authors <instancer@packages.invalid>"
    CACHE STRING "Who answers for the Debian package: NAME <ADDRESS>")
set(CPACK_PACKAGE_CONTACT ${INSTANCER_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_DAEMON_DESCRIPTION
"A client gets a process or a container of its own, found again when the same
client comes back and gone when it is no longer needed; or its connection is
passed on to one of several servers, a channel or a tunnel. To both ends it
looks like a direct connection.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_DAEMON_PACKAGE_DEPENDS "systemd-standalone-sysusers | systemd-sysusers, tzdata")
set(CPACK_DEBIAN_DAEMON_PACKAGE_SUGGESTS "crun, docker.io, iptables, logrotate, prometheus")
set(CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_EXTRA
    ${packaging}/debian/conffiles ${packaging}/debian/postinst ${packaging}/debian/prerm ${packaging}/debian/postrm)
set(CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PRE_BUILD_SCRIPTS ${packaging}/debian/configuration.cmake)
include(CPack)
