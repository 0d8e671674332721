// SPDX-License-Identifier: MIT
// Runs the benchmarks: every subject in turn on the same work, several rounds, in one run.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "works.hpp"

int main(int count, char** arguments)
{
    const std::string usage = "usage: instancer_bench [--rounds N] [--json FILE] [--svg FILE] [WORK]...\n"
                              "works: processes first-byte crowd docker oci pool proof forward relay tunnel\n";
    std::vector<std::string> wanted;
    int rounds = 5;
    std::string json, svg;
    for (int i = 1; i < count; ++i) {
        const std::string argument = arguments[i];
        if (argument == "--rounds" && i + 1 < count)
            rounds = std::max(1, std::atoi(arguments[++i]));
        else if (argument == "--json" && i + 1 < count)
            json = arguments[++i];
        else if (argument == "--svg" && i + 1 < count)
            svg = arguments[++i];
        else if (argument == "processes" || argument == "first-byte" || argument == "crowd" || argument == "docker" ||
                 argument == "oci" || argument == "pool" || argument == "proof" || argument == "forward" ||
                 argument == "relay" || argument == "tunnel")
            wanted.push_back(argument);
        else
            return std::fputs(usage.c_str(), stderr), 2;
    }
    if (wanted.empty())
        wanted = {"processes", "first-byte", "crowd", "docker", "oci", "pool", "proof", "forward", "relay", "tunnel"};

    int status = 0;
    std::vector<bench::Outcome> all;
    std::ofstream file;
    if (!json.empty())
        file.open(json);
    for (const auto& work : wanted)
        try {
            std::vector<bench::Outcome> outcomes;
            if (work == "processes")
                outcomes.push_back(bench::processes(rounds));
            else if (work == "first-byte")
                outcomes.push_back(bench::first_byte(rounds));
            else if (work == "crowd")
                outcomes = bench::crowd(rounds);
            else if (work == "docker")
                outcomes.push_back(bench::docker_start(rounds));
            else if (work == "oci")
                outcomes = bench::oci(rounds);
            else if (work == "proof")
                outcomes.push_back(bench::proof(rounds));
            else if (work == "relay")
                outcomes = bench::relay(rounds);
            else
                outcomes = work == "pool"      ? bench::pool(rounds)
                           : work == "forward" ? bench::forward(rounds)
                                               : bench::tunnel(rounds);
            for (const auto& outcome : outcomes) {
                outcome.table.print(outcome.baseline);
                if (file)
                    file << outcome.table.json(outcome.baseline) << '\n';
                all.push_back(outcome);
            }
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s: %s\n", work.c_str(), error.what());
            status = 1;
        }
    if (!svg.empty())
        std::ofstream(svg) << bench::plot(all);
    return status;
}
