// SPDX-License-Identifier: MIT
#include "docker_preparation.hpp"

#include <string_view>

#include <unistd.h>

#include "docker_farewell.hpp"
#include "docker_json.hpp"
#include "docker_pull_progress.hpp"
#include "network_namespace.hpp"

namespace instancer::detail::inline docker {

using nlohmann::json;

Result<std::shared_ptr<const Prepared>> DockerPreparation::get()
{
    if (auto last = known()) {
        const auto reply = inspect_image();
        // Whatever keeps the engine from telling is no news of the image.
        if (!reply || !reply->ok())
            return last;
        ImageFacts image(reply->json());
        return image.id == last->image.id ? last : renewed(std::move(last), std::move(image));
    }
    const std::lock_guard lock(mutex_);
    if (auto made = known())
        return made;
    publish(nullptr);
    if (auto checked = check(options_, service_); !checked)
        return fail(std::move(checked.error()));
    DockerFarewell::wait(options_.daemon);
    auto image = find_image();
    if (!image)
        return fail(std::move(image.error()));
    const auto watching = [this](const std::string& text) { events_.warning(service_, text); };
    if (auto claimed = claim_->acquire(engine_, *image, stopped_, watching); !claimed)
        return fail(std::move(claimed.error()));
    const auto reach = prepare_network();
    if (!reach)
        return fail(reach.error());
    auto made = make(std::move(*image), *reach);
    if (made)
        publish(*made);
    return made;
}

Result<std::shared_ptr<const Prepared>> DockerPreparation::make(ImageFacts image, Reach reach)
{
    auto next = std::make_shared<Prepared>();
    next->image = std::move(image);
    if (options_.io == DockerIo::port) {
        const auto port = service_port(options_, next->image);
        if (!port)
            return fail(port.error());
        next->port = *port;
    }
    next->reach = reach;
    next->spec = container_spec(options_, next->image, next->port);
    if (reach != Reach::inside)
        next->spec["HostConfig"]["NetworkMode"] = network_.name();
    next->config = config_hash(next->spec, next->image, options_.secret.version);
    if (const auto tried = try_out(*next); !tried)
        return fail(tried.error());
    return next;
}

/// The name stands for another image now. One that cannot be used leaves the last one in its place.
std::shared_ptr<const Prepared> DockerPreparation::renewed(std::shared_ptr<const Prepared> last, ImageFacts image)
{
    const std::lock_guard lock(mutex_);
    if (const auto now = known(); now != last)
        return now ? now : last;
    if (image.id == unusable_)
        return last;
    const auto id = image.id;
    auto made = make(std::move(image), last->reach);
    if (made) {
        events_.notice(service_,
                       "image '" + options_.image + "' is another one now, " + id + "; new instances are made from it");
        publish(*made);
        return *made;
    }
    if (made.error() == Errc::bad_request) {
        unusable_ = id;
        events_.warning(service_, made.error().message() + "; that is the image of this name now, " + id +
                                      ", so instances are still made from the last one, " + last->image.id);
    }
    return last;
}

Result<EngineReply> DockerPreparation::inspect_image()
{
    return engine_.call("GET", "/images/" + percent_encoded(options_.image) + "/json");
}

Result<ImageFacts> DockerPreparation::find_image()
{
    auto reply = inspect_image();
    if (reply && reply->status() == 404) {
        if (auto pulled = pull(); !pulled)
            return fail(std::move(pulled.error()));
        reply = inspect_image();
    }
    if (!reply)
        return fail(std::move(reply.error()));
    if (!reply->ok())
        return fail(Errc::bad_request, "image '" + options_.image + "': " + reply->message());
    return ImageFacts(reply->json());
}

Result<void> DockerPreparation::pull()
{
    const auto missing = [this](const std::string& why) {
        return fail(Errc::bad_request, "the Docker engine has no image '" + options_.image + "'" + why +
                                           "; make it with `docker build -t " + options_.image +
                                           " .`, or bring it with `docker load`");
    };
    if (options_.pull == DockerPull::never)
        return missing("");
    events_.notice(service_, "pulling image '" + options_.image + "'");
    const auto& image = options_.image;
    const bool tagged = image.find(':', image.rfind('/') == image.npos ? 0 : image.rfind('/')) != image.npos;
    const auto path = "/images/create?fromImage=" + percent_encoded(tagged ? image : image + ":latest");
    // The answer is 200 whatever comes; a failure is one of the messages in it.
    PullProgress progress;
    pulls_.forget_version();
    const auto reply = pulls_.stream(
        "POST", path, [] {}, [&](std::string_view piece) { progress.feed(piece); });
    if (!reply)
        return fail(reply.error());
    if (!reply->ok())
        return missing(", and pulling it failed: " + reply->message());
    if (const auto error = progress.finish(); !error.empty())
        return missing(", and pulling it failed: " + error);
    return {};
}

/// Chooses how instances are reached, and makes what network that takes.
Result<Reach> DockerPreparation::prepare_network()
{
    const auto reply = engine_.call("GET", "/info");
    if (!reply)
        return fail(reply.error());
    if (!reply->ok())
        return fail(Errc::backend_unavailable, "the Docker engine: " + reply->message());
    const auto info = reply->json();
    if (!options_.runtime.empty() && !object_at(info, "Runtimes").contains(options_.runtime))
        return fail(Errc::bad_request, "the Docker engine has no runtime '" + options_.runtime + "'");
    if (!value_at(info, "MemoryLimit", true) || !value_at(info, "PidsLimit", true) ||
        !value_at(info, "CpuCfsQuota", true))
        events_.warning(service_,
                        "this host's kernel cannot enforce all limits of containers (memory, processes, CPU)");
    if (options_.secret.has_file() && (::geteuid() != 0 || !has_reachable_processes(options_, info)))
        return fail(Errc::bad_request, "the file of the secret, " + options_.secret.file +
                                           ", cannot be written into containers: that takes root, an engine that runs "
                                           "as root on this host, and a runtime like runc; hand the secret over by "
                                           "the environment");
    const auto reach = choose_reach(options_, info, may_enter_namespaces());
    if (!reach || *reach == Reach::inside)
        return reach;
    if (const auto made = network_.ensure(options_.egress); !made)
        return fail(made.error());
    network_made_ = true;
    if (*reach == Reach::address)
        events_.notice(service_, "network namespaces cannot be entered (that takes CAP_SYS_ADMIN and a runtime like "
                                 "runc), so containers get the bridge network '" +
                                     network_.name() + "'");
    warn_of_firewall();
    return reach;
}

void DockerPreparation::warn_of_firewall()
{
    if (const auto problem = network_.firewall_problem(); !problem.empty())
        events_.warning(service_, "containers can connect to this host, because the firewall rule that keeps them "
                                  "from it cannot be set: " +
                                      problem);
}

void DockerPreparation::restore_firewall()
{
    if (!network_made_ || !network_.restore_firewall())
        return;
    if (network_.firewall_problem().empty())
        events_.warning(service_, "the firewall rule that keeps containers from connecting to this host had gone, as "
                                  "at a reload of the firewall; it is there again");
    warn_of_firewall();
}

/// Makes a container and removes it: the engine knows best which limits and mounts it refuses.
Result<void> DockerPreparation::try_out(const Prepared& prepared)
{
    const ContainerName name(options_.daemon, service_);
    auto spec = prepared.spec;
    spec["Labels"] = container_labels(options_, service_, prepared.config);
    const auto made =
        engine_.call("POST", "/containers/create?name=" + name.text(), spec.dump(), DockerEngine::long_work);
    if (!made)
        return fail(made.error());
    if (!made->ok())
        return fail(Errc::bad_request, "the Docker engine refuses such containers: " + made->message());
    const auto removed = engine_.call("DELETE", container_removal(name.text()));
    if (!removed)
        return fail(removed.error());
    return {};
}

std::shared_ptr<const Prepared> DockerPreparation::known() const
{
    const std::lock_guard lock(known_mutex_);
    return outdated_ ? nullptr : prepared_;
}

void DockerPreparation::publish(std::shared_ptr<const Prepared> prepared)
{
    const std::lock_guard lock(known_mutex_);
    outdated_ = false;
    prepared_ = std::move(prepared);
}

}  // namespace instancer::detail::inline docker
