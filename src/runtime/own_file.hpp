// Whether a file that is read back from disk may be believed. The directories that the driver keeps
// its files in are made 0700, and refused where they belong to somebody else or others can write to
// them (make_private_directory()): there nobody else can put a file. But they are looked at when
// something is made in them, and a plugin that has just begun reads first: exits, logins, images
// that it would remove. So each file that is read has to be this user's own; another's, a link or a
// directory in its place counts as a damaged one. Part of the monitor too.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

namespace ndc::runtime {

inline bool is_own_file(const struct stat& info) {
  return S_ISREG(info.st_mode) && info.st_uid == ::geteuid();
}

}  // namespace ndc::runtime
