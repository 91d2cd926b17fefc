// The subcommands. Each returns the exit code or throws CliError.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "standin/configuration.hpp"
#include "standin/faults.hpp"
#include "standin/grammar.hpp"
#include "standin/json.hpp"
#include "standin/store.hpp"
#include "standin/version.hpp"

namespace standin {

struct Call {
  Version version;
  const Store& store;
  const Parsed& parsed;
  std::optional<Fault> fault;  // what is left of it for the command itself
};

int run_command(const Call& call);

int command_run(const Call& call);
int command_create(const Call& call);
int command_start(const Call& call);
int command_stop(const Call& call);
int command_kill(const Call& call);
int command_delete(const Call& call);
int command_prune(const Call& call);
int command_exec(const Call& call);
int command_inspect(const Call& call);
int command_list(const Call& call);
int command_logs(const Call& call);
int command_stats(const Call& call);
int command_copy(const Call& call);
int command_image(const Call& call, const std::string& verb);
int command_registry(const Call& call, const std::string& verb);
int command_network(const Call& call, const std::string& verb);
int command_volume(const Call& call, const std::string& verb);
int command_system(const Call& call, const std::string& verb);

// ---------------------------------------------------------------------------------------------
// Shared by several of them.

void print_line(const std::string& text);
/// On stderr, unless `--progress none`: on no terminal only from 0.12 on.
void show_progress(const Call& call, int steps);
/// Stdout, with a newline; garbled if the fault says so.
void print_json(const Call& call, const Value& value, bool pretty);
/// The old family writes inspect on one line, the new one pretty.
void print_inspection(const Call& call, const Value& value);

/// Finds it, or pulls it as `run` and `create` do.
Image need_image(const Call& call, const std::string& reference);
Image pull_image(const Call& call, const std::string& reference);
/// The user name that is stored for a registry host, empty if there is none.
std::string stored_user(const Store& store, const std::string& host);
std::string stored_password(const Store& store, const std::string& host);
void ensure_volume(const Call& call, const std::string& name);
/// IDs of the containers whose record refers to a network or a volume.
bool is_network_used(const Store& store, const std::string& name);
bool is_volume_used(const Store& store, const std::string& name);

/// "did X" for each of several IDs; the errors in the words of the imitated CLI, then exit 1.
using EachId = std::string (*)(const Call&, const std::string&);  // returns an error, or nothing
int for_each_id(const Call& call, const std::vector<std::string>& ids, const std::string& failure,
                EachId each);

}  // namespace standin
