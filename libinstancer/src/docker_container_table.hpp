// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "docker_bridge_network.hpp"
#include "docker_container.hpp"

namespace instancer::detail::inline docker {

/// The containers of a backend, by their ids.
class ContainerTable {
public:
    /// Lifetime: `network` must outlive it.
    explicit ContainerTable(DockerBridgeNetwork& network) : network_(network) {}

    void add(std::shared_ptr<Container> container) { containers_.emplace(container->id, container); }

    /// Null when there is none.
    std::shared_ptr<Container> find(const std::string& id) const
    {
        const auto found = containers_.find(id);
        return found == containers_.end() ? nullptr : found->second;
    }

    /// Those that were started and have not ended, as far as is known.
    std::vector<std::shared_ptr<Container>> running() const
    {
        std::vector<std::shared_ptr<Container>> all;
        for (const auto& [id, container] : containers_)
            if (container->started && !container->ended.is_set())
                all.push_back(container);
        return all;
    }

    /// It has ended, and its address is free.
    void remove(const Container& container)
    {
        const auto node = containers_.extract(container.id);
        if (node.empty())
            return;
        node.mapped()->end({});
        if (node.mapped()->address)
            network_.return_address(*node.mapped()->address);
    }

    void clear() { containers_.clear(); }

private:
    DockerBridgeNetwork& network_;
    std::unordered_map<std::string, std::shared_ptr<Container>> containers_;
};

}  // namespace instancer::detail::inline docker
