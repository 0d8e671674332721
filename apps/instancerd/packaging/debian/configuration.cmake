# SPDX-License-Identifier: MIT
# Run by cpack before it packs: what is the Debian package's alone. The configuration lives outside of /usr, in which
# everything else is installed.
set(package ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/daemon)
set(documents ${package}/usr/share/doc/instancerd)
file(COPY ${CMAKE_CURRENT_LIST_DIR}/../instancerd.json DESTINATION ${package}/etc/instancerd)
configure_file(${CMAKE_CURRENT_LIST_DIR}/../logrotate ${package}/etc/logrotate.d/instancerd COPYONLY)
configure_file(${CMAKE_CURRENT_LIST_DIR}/changelog ${documents}/changelog @ONLY)
execute_process(COMMAND gzip -9n ${documents}/changelog COMMAND_ERROR_IS_FATAL ANY)

configure_file(${CMAKE_CURRENT_LIST_DIR}/lintian-overrides ${package}/usr/share/lintian/overrides/instancerd COPYONLY)

# Whoever checks out and builds may be stricter: neither their umask nor their files' modes are the package's.
set(readable OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(CHMOD ${package}/etc/instancerd/instancerd.json ${package}/etc/logrotate.d/instancerd ${documents}/changelog.gz
    ${package}/usr/share/lintian/overrides/instancerd PERMISSIONS ${readable})
file(CHMOD_RECURSE ${package} DIRECTORY_PERMISSIONS ${readable} OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
