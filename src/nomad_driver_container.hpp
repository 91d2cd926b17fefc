// The driver as a library: what an embedding program includes. docs/embedding.md introduces it,
// examples/fault_injection is a program to read.
//
//   ndc::embed::EmbeddedDriver    the driver over a runtime: tasks, events, faults
//   ndc::embed::SimulatedRuntime  containers that exist only in memory
//   ndc::runtime::make_runtime    Podman, Apple's CLI (or a stand-in for it: container_path)
//   ndc::runtime::run_role        first in main, where make_runtime is used
//   ndc::runtime::FaultyRuntime   calls of the runtime that fail, hang, answer late or throw
//   ndc::actors::MessageFaults    lost and late messages, crashing actors
//   ndc::actors::kMessageNames    the messages that those can name; kActorNames: the actors
//   ndc::actors::Driver           the façade without anything that waits
#pragma once

#include "actors/driver.hpp"
#include "actors/driver_system.hpp"
#include "actors/message_faults.hpp"
#include "actors/message_names.hpp"
#include "embed/embedded_driver.hpp"
#include "embed/simulated_runtime.hpp"
#include "embed/waiting.hpp"
#include "runtime/container_runtime.hpp"
#include "runtime/event_loop.hpp"
#include "runtime/faulty_runtime.hpp"
#include "runtime/make_runtime.hpp"
#include "runtime/roles.hpp"
