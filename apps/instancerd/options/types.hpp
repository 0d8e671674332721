// SPDX-License-Identifier: MIT
// The types of options: each knows how its value is read and shown, and what words there are. The members that follow
// lead from the settings, or those of a service, to the field.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

#include "options/option.hpp"

namespace instancer::daemon {

/// A word, and the value that it stands for.
template <class T>
class Choice {
public:
    std::string_view name;
    T value;
};

namespace inner {

template <class T>
struct Member;

template <class T, class Owner>
struct Member<T Owner::*> {
    using Of = Owner;
};

template <class T>
struct Held {
    using Type = T;
};

template <class T>
struct Held<std::optional<T>> {
    using Type = T;
};

inline std::string printed(const std::string& text) { return text; }
inline std::string printed(double number) { return print_cpus(number); }
inline std::string printed(bool on) { return on ? "on" : "off"; }
inline std::string printed(const Address& address) { return address.text(); }

template <class T>
requires std::is_integral_v<T> std::string printed(T number) { return std::to_string(number); }

template <class Count, class Period>
std::string printed(std::chrono::duration<Count, Period> duration)
{
    return print_duration(std::chrono::duration_cast<std::chrono::microseconds>(duration));
}

template <class T>
std::string printed(const std::optional<T>& value)
{
    return value ? printed(*value) : std::string();
}

}  // namespace inner

/// The field to which the members lead.
template <auto first, auto... rest>
auto& field(const auto& to)
{
    if constexpr (std::is_same_v<typename inner::Member<decltype(first)>::Of, Settings>)
        return ((to.settings.*first).*....*rest);
    else
        return ((to.service->*first).*....*rest);
}

/// Stores a parsed value, or passes on what is wrong with it.
template <class Field, class T>
Parsed<void> set(Field& field, const Parsed<T>& value)
{
    if (!value)
        return wrong(value.error());
    field = static_cast<typename inner::Held<Field>::Type>(*value);
    return {};
}

template <auto... members>
std::string show(const View& from)
{
    return inner::printed(field<members...>(from));
}

template <auto... members>
std::string show_size(const View& from)
{
    return print_size(field<members...>(from));
}

/// What the field holds before anything is said about it.
template <auto... members>
std::string show_default(const Target& to)
{
    const Settings settings;
    const ServiceSettings service({}, to.service->mode);
    return show<members...>(View(settings, &service));
}

using ParseFunction = Parsed<void> (*)(Target, const std::string&);
using PrintFunction = std::string (*)(const View&);

/// A type with a function of its own.
template <Shape shape, ParseFunction parse, PrintFunction print = nullptr>
inline constexpr Type custom{shape, {}, parse, print};

template <auto... members>
inline constexpr Type text{Shape::text, "TEXT",
                           [](Target to, const std::string& text) -> Parsed<void> {
                               if (text.empty())
                                   return wrong("is empty; leave it out instead");
                               field<members...>(to) = text;
                               return {};
                           },
                           show<members...>};

template <auto... members>
inline constexpr Type file{Shape::text, "FILE",
                           [](Target to, const std::string& text) -> Parsed<void> {
                               if (text.empty())
                                   return wrong("names no path");
                               field<members...>(to) = to.settings.resolve(text);
                               return {};
                           },
                           show<members...>};

template <auto... members>
inline constexpr Type directory = file<members...>.called("DIR");

/// Where something listens; a Unix socket's path is relative to where it is written.
template <auto... members>
inline constexpr Type address{
    Shape::text, "ADDR",
    [](Target to, const std::string& text) { return set(field<members...>(to), parse_address_at(to.settings, text)); },
    show<members...>};

template <std::uint64_t least, std::uint64_t most, auto... members>
inline constexpr Type count_in = Type{Shape::number, "N",
                                      [](Target to, const std::string& text) {
                                          return set(field<members...>(to), parse_count(text, least, most));
                                      },
                                      show<members...>}
                                     .within(least, most);

inline constexpr std::uint64_t many = 1'000'000'000;

template <auto... members>
inline constexpr Type count = count_in<0, many, members...>;

template <auto... members>
inline constexpr Type cpus = Type{Shape::number, "N",
                                  [](Target to, const std::string& text) {
                                      return set(field<members...>(to), parse_cpus(text));
                                  },
                                  show<members...>}
                                 .with_fraction();

template <auto... members>
inline constexpr Type duration{
    Shape::duration, "DURATION",
    [](Target to, const std::string& text) { return set(field<members...>(to), parse_duration(text)); },
    show<members...>};

/// A duration that cannot be 0.
template <auto... members>
inline constexpr Type some_duration = Type{Shape::duration, "DURATION",
                                           [](Target to, const std::string& text) -> Parsed<void> {
                                               const auto value = parse_duration(text);
                                               if (value && *value == value->zero())
                                                   return wrong("must be longer than 0; write " +
                                                                show_default<members...>(to));
                                               return set(field<members...>(to), value);
                                           },
                                           show<members...>}
                                          .within(1, std::numeric_limits<std::int64_t>::max());

template <auto... members>
inline constexpr Type size{
    Shape::size, "SIZE",
    [](Target to, const std::string& text) { return set(field<members...>(to), parse_size(text)); },
    show_size<members...>};

/// A size that is 0, for none, or no smaller than the least that works.
template <std::uint64_t least, auto... members>
inline constexpr Type size_from = Type{Shape::size, "SIZE",
                                       [](Target to, const std::string& text) -> Parsed<void> {
                                           const auto value = parse_size(text);
                                           if (value && *value != 0 && *value < least)
                                               return wrong("'" + text + "' is too little to work; write " +
                                                            print_size(least) + " or more, or 0");
                                           return set(field<members...>(to), value);
                                       },
                                       show_size<members...>}
                                      .within(least, std::numeric_limits<std::int64_t>::max())
                                      .or_none();

/// Permissions of a file.
template <auto... members>
inline constexpr Type permissions{
    Shape::text, "OCTAL",
    [](Target to, const std::string& text) { return set(field<members...>(to), parse_permissions(text)); },
    [](const View& from) { return print_permissions(field<members...>(from)); }};

template <auto... members>
inline constexpr Type flag{Shape::flag,
                           {},
                           [](Target to, const std::string& text) -> Parsed<void> {
                               field<members...>(to) = text == "true";
                               return {};
                           },
                           show<members...>};

template <const auto& table>
inline constexpr auto names_of = [] {
    std::array<std::string_view, std::size(table)> names;
    std::transform(std::begin(table), std::end(table), names.begin(), [](const auto& choice) { return choice.name; });
    return names;
}();

/// The complaint about a text that is none of the words.
std::string no_choice(const std::string& text, std::span<const std::string_view> names);

template <const auto& table, auto... members>
inline constexpr Type choice{Shape::text,
                             {},
                             [](Target to, const std::string& text) -> Parsed<void> {
                                 for (const auto& choice : table)
                                     if (choice.name == text) {
                                         field<members...>(to) = choice.value;
                                         return {};
                                     }
                                 return wrong(no_choice(text, names_of<table>));
                             },
                             [](const View& from) -> std::string {
                                 for (const auto& choice : table)
                                     if (choice.value == field<members...>(from))
                                         return std::string(choice.name);
                                 return {};
                             },
                             names_of<table>};

/// One type in that mode, and another one in all others.
template <Mode mode, const Type& ours, const Type& others>
inline constexpr Type by_mode = Type{
    ours.shape, ours.placeholder,
    [](Target to, const std::string& text) { return (to.service->mode == mode ? ours : others).parse(to, text); },
    [](const View& from) {
        return (from.service->mode == mode ? ours : others).print(from);
    }}.by_mode([](Mode here) -> const Type& { return here == mode ? ours : others; });

/// Of a service, or at the top level of all.
template <const Type& service, const Type& daemon>
inline constexpr Type service_or_daemon = Type{
    service.shape, service.placeholder,
    [](Target to, const std::string& text) { return (to.service ? service : daemon).parse(to, text); },
    [](const View& from) {
        auto own = from.service ? service.print(from) : std::string();
        return own.empty() ? daemon.print(from) : own;
    }}.within(service.least, service.most);

}  // namespace instancer::daemon
