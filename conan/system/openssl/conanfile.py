# SPDX-License-Identifier: MIT
from conan import ConanFile
from conan.tools.system.package_manager import Apt


class SystemOpenssl(ConanFile):
    """The distribution's OpenSSL, under the name that it has on ConanCenter."""

    name = "openssl"
    settings = "os", "arch"

    def system_requirements(self):
        Apt(self).check(["libssl-dev"])

    def package_info(self):
        # The compiler finds it by itself.
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        self.cpp_info.set_property("cmake_file_name", "OpenSSL")
        crypto = self.cpp_info.components["crypto"]
        crypto.set_property("cmake_target_name", "OpenSSL::Crypto")
        crypto.includedirs = []
        crypto.libdirs = []
        crypto.bindirs = []
        crypto.system_libs = ["crypto"]
