# prometheus-cpp's HTTP part (and with it its core) as ndc::prometheus, from the first of: the
# archives that scripts/prometheus built, the library's own CMake package (Homebrew).
ndc_cache_directory(_prometheus_cache)
set(_prometheus_built ${_prometheus_cache}/prometheus-cpp-1.0.1)
if(EXISTS ${_prometheus_built}/lib/libprometheus-cpp-pull.a)
  set(prometheus-cpp_DIR ${_prometheus_built}/lib/cmake/prometheus-cpp)
endif()
find_package(prometheus-cpp CONFIG QUIET)
if(NOT TARGET prometheus-cpp::pull)
  message(FATAL_ERROR "prometheus-cpp not found: run scripts/setup")
endif()
message(STATUS "prometheus-cpp: ${prometheus-cpp_DIR}")

add_library(ndc_prometheus INTERFACE)
add_library(ndc::prometheus ALIAS ndc_prometheus)
target_link_libraries(ndc_prometheus INTERFACE prometheus-cpp::pull)
