# SPDX-License-Identifier: MIT
# Run by cpack before it packs: the configuration lives outside of /usr, in which everything else is installed.
file(COPY ${CMAKE_CURRENT_LIST_DIR}/../instancerd.json
    DESTINATION ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/daemon/etc/instancerd)
