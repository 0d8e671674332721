// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace instancer::daemon {

/// A metric as Prometheus knows it: its samples differ in their labels. No label tells who a client is.
class MetricFamily {
public:
    enum class Kind { counter, gauge, histogram };

    std::string_view name;
    Kind kind;
    std::string_view labels;  ///< With commas between.
    std::string_view help;
};

/// All that are exported, in the order in which they are explained.
namespace families {

using Kind = MetricFamily::Kind;

inline constexpr std::string_view of_service = "service, mode";

inline constexpr MetricFamily build{"instancerd_build_info", Kind::gauge, "version", "1, for the version that runs."};
inline constexpr MetricFamily loop_delay{"instancerd_event_loop_delay_seconds", Kind::gauge, "worker",
                                         "How long a task waited for the worker when it was asked just now."};
inline constexpr MetricFamily unadmitted{"instancerd_unadmitted_connections", Kind::gauge, "",
                                         "Connections of clients that are not admitted yet, of all services."};
inline constexpr MetricFamily unadmitted_limit{"instancerd_unadmitted_connections_limit", Kind::gauge, "",
                                               "How many connections there may be of clients that are not admitted yet "
                                               "(max-unadmitted)."};

inline constexpr MetricFamily sessions_started{"instancerd_sessions_started_total", Kind::counter, of_service,
                                               "Clients that were taken in."};
inline constexpr MetricFamily sessions_ended{"instancerd_sessions_ended_total", Kind::counter, "service, mode, reason",
                                             "Sessions that have ended, by the reason that the log has."};
inline constexpr MetricFamily refusals{"instancerd_refusals_total", Kind::counter, "service, mode, reason",
                                       "Clients that got no instance, by the reason that the log has; those that left "
                                       "by themselves do not count."};
inline constexpr MetricFamily sessions{"instancerd_sessions", Kind::gauge, of_service, "Sessions that go on."};
inline constexpr MetricFamily join_time{"instancerd_session_join_seconds", Kind::histogram, of_service,
                                        "From a client's connect until it was joined to its instance."};
inline constexpr MetricFamily first_byte_time{"instancerd_session_first_byte_seconds", Kind::histogram, of_service,
                                              "From a client's connect to the first byte of its instance; counted when "
                                              "the session has ended."};

inline constexpr MetricFamily starts{"instancerd_instances_started_total", Kind::counter, of_service,
                                     "Instances that were started, warm ones included."};
inline constexpr MetricFamily instances_ended{"instancerd_instances_ended_total", Kind::counter,
                                              "service, mode, reason",
                                              "Instances that have ended, or could not start, by the reason that the "
                                              "log has."};
inline constexpr MetricFamily start_time{"instancerd_instance_start_seconds", Kind::histogram, of_service,
                                         "From the beginning of an instance's start until it was ready."};
inline constexpr MetricFamily warm_hits{"instancerd_warm_hits_total", Kind::counter, of_service,
                                        "Clients that got an instance that was kept warm."};
inline constexpr MetricFamily instances{"instancerd_instances", Kind::gauge, of_service,
                                        "Instances that exist; those that start or stop count."};
inline constexpr MetricFamily instances_in_use{
    "instancerd_instances_in_use", Kind::gauge, of_service,
    "Instances that cannot make room for others: they have clients, start or stop."};
inline constexpr MetricFamily instances_limit{"instancerd_instances_limit", Kind::gauge, of_service,
                                              "How many instances there may be (max-instances); 0: no limit."};
inline constexpr MetricFamily bytes{"instancerd_bytes_total", Kind::counter, "service, mode, direction",
                                    "Bytes that passed: up from clients, down to them."};

inline constexpr MetricFamily queue_length{"instancerd_queue_length", Kind::gauge, of_service,
                                           "Clients that wait for room, for an upstream, or for their turn to start."};
inline constexpr MetricFamily queue_time{
    "instancerd_queue_wait_seconds", Kind::histogram, of_service,
    "How long a client that was joined to its instance had waited for room, or for "
    "its turn to start."};
inline constexpr MetricFamily stage_places{"instancerd_stage_places", Kind::gauge, "service, mode, stage",
                                           "Places in use of a stage of admission that has a limited number."};
inline constexpr MetricFamily stage_limit{"instancerd_stage_places_limit", Kind::gauge, "service, mode, stage",
                                          "Places of a stage of admission that has a limited number."};

inline constexpr MetricFamily proofs_asked{"instancerd_proofs_asked_total", Kind::counter, of_service,
                                           "Proofs of work that clients were asked for."};
inline constexpr MetricFamily proofs_solved{"instancerd_proofs_solved_total", Kind::counter, of_service,
                                            "Proofs of work that were right."};
inline constexpr MetricFamily proofs_failed{"instancerd_proofs_failed_total", Kind::counter, of_service,
                                            "Proofs of work that were wrong."};
inline constexpr MetricFamily bans{"instancerd_bans", Kind::gauge, of_service, "Networks that are banned now."};

inline constexpr MetricFamily backend_calls{"instancerd_backend_calls_total", Kind::counter, "service, mode, call",
                                            "Calls of what starts, reaches and stops instances."};
inline constexpr MetricFamily backend_errors{"instancerd_backend_errors_total", Kind::counter, "service, mode, call",
                                             "Calls of what starts, reaches and stops instances that failed."};

}  // namespace families

std::span<const MetricFamily* const> metric_families();

/// `counter`, `gauge` or `histogram`.
std::string_view name_of(MetricFamily::Kind kind);

/// The rows of the table in the documentation.
std::string metric_table();

}  // namespace instancer::daemon
