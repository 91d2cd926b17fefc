# Third-party libraries below the RPC layer, each as one target ndc::<name>. Their headers are
# system headers: our warnings are about our code. The installed package includes this file, too.

# ndc_cache_directory(OUT): where scripts/ keep what they build, as scripts/lib.sh says it.
function(ndc_cache_directory out)
  if(DEFINED ENV{NDC_CACHE})
    set(directory $ENV{NDC_CACHE})
  elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(directory $ENV{XDG_CACHE_HOME}/nomad-driver-container)
  else()
    set(directory $ENV{HOME}/.cache/nomad-driver-container)
  endif()
  set(${out} ${directory} PARENT_SCOPE)
endfunction()

# Imported targets are of one directory and those below it: another one makes its own, and where
# parts of a project look for the package one after the other they are here already.
if(TARGET ndc::uv)
  return()
endif()

find_package(Threads REQUIRED)
find_package(CafCore REQUIRED)

# ndc_header_library(NAME HEADER): a library that consists of headers.
function(ndc_header_library name header)
  find_path(NDC_${name}_INCLUDE_DIR ${header} REQUIRED)
  mark_as_advanced(NDC_${name}_INCLUDE_DIR)
  add_library(ndc::${name} INTERFACE IMPORTED)
  target_include_directories(ndc::${name} SYSTEM INTERFACE ${NDC_${name}_INCLUDE_DIR})
endfunction()

ndc_header_library(expected tl/expected.hpp)
ndc_header_library(rapidjson rapidjson/document.h)
# RapidJSON 1.1's iterators compare in a way that C++20 finds ambiguous; clang says so at every use.
target_compile_options(ndc::rapidjson INTERFACE
  $<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wno-ambiguous-reversed-operator>)
ndc_header_library(fmt fmt/format.h)
target_compile_definitions(ndc::fmt INTERFACE FMT_HEADER_ONLY)
ndc_header_library(spdlog spdlog/spdlog.h)
target_compile_definitions(ndc::spdlog INTERFACE SPDLOG_FMT_EXTERNAL)
target_link_libraries(ndc::spdlog INTERFACE ndc::fmt Threads::Threads)

# libuv, the last of them: the guard above looks for it. Debian calls the archive libuv_a.a.
find_path(NDC_UV_INCLUDE_DIR uv.h REQUIRED)
if(NDC_STATIC)
  find_library(NDC_UV_LIBRARY NAMES libuv_a.a libuv.a uv REQUIRED)
else()
  find_library(NDC_UV_LIBRARY NAMES uv REQUIRED)
endif()
add_library(ndc::uv INTERFACE IMPORTED)
target_include_directories(ndc::uv SYSTEM INTERFACE ${NDC_UV_INCLUDE_DIR})
target_link_libraries(ndc::uv INTERFACE ${NDC_UV_LIBRARY} Threads::Threads ${CMAKE_DL_LIBS})
