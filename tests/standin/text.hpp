// Small string helpers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace standin {

/// Keeps empty parts; "" gives one empty part.
std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string lower(std::string text);
std::string trim(std::string_view text);
bool is_decimal(std::string_view text);  // digits with at most one point

/// 64 hexadecimal digits that depend on `text` alone; no cryptography.
std::string pseudo_digest(std::string_view text);
std::string random_uuid();

}  // namespace standin
