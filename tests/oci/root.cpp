// SPDX-License-Identifier: MIT
// A root directory that is put together from files of this host.
#include <oci_support.hpp>

using namespace oci_test;

TEST_CASE("containers: programs of this host run in a root directory of its files, and nothing else of it is there")
{
    const daemon_test::TemporaryDirectory folder;
    const auto script = folder.file("challenge.sh",
                                    "#!/bin/sh\npwd\nls\nls -A /home | wc -l\ncat /etc/shadow 2>&1\n"
                                    "touch /usr/x 2>&1\npython3 -c 'import threading; print(6 * 7)'\n",
                                    true);
    folder.file("other", "");
    OciOptions options;
    options.daemon = "test-root-" + std::to_string(::getpid());
    options.init = init_program();
    options.io = ContainerIo::stdio;
    options.root = instancer::OciRoot::of_host();
    CHECK(options.root.shows("/bin/sh"));
    CHECK_FALSE(options.root.shows(script));
    options.root.binds.emplace_back(script, script);
    options.image.working_directory = folder.path();
    options.command = {"./challenge.sh"};
    for (const auto& runtime : runtimes) {
        CAPTURE(runtime);
        options.runtime = runtime;
        Bench bench(options);
        CHECK(bench.converse("") == folder.path() + "\nchallenge.sh\n0\ncat: /etc/shadow: No such file or directory\n"
                                                    "touch: cannot touch '/usr/x': Read-only file system\n42\n");
    }
    CHECK(leftovers(options.daemon).empty());
}
