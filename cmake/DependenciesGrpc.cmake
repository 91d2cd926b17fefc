# gRPC and protobuf as one target ndc::grpc. With NDC_STATIC it lists the archives by full path:
# CMake's own targets and pkg-config only know the shared libraries.

include(DependenciesProtobuf)
find_package(gRPC CONFIG REQUIRED)

add_library(ndc_grpc INTERFACE)
add_library(ndc::grpc ALIAS ndc_grpc)

set(_grpc_missing "")
if(NDC_STATIC)
  set(_grpc_archives "")
  foreach(lib grpc++ grpc gpr address_sorting upb protobuf re2 cares ssl crypto z)
    find_library(NDC_ARCHIVE_${lib} NAMES lib${lib}.a)
    mark_as_advanced(NDC_ARCHIVE_${lib})
    if(NDC_ARCHIVE_${lib})
      list(APPEND _grpc_archives ${NDC_ARCHIVE_${lib}})
    else()
      list(APPEND _grpc_missing lib${lib}.a)
    endif()
  endforeach()
  # Abseil is many small archives, and the linker takes only what is needed: offer them all.
  if(NOT _grpc_missing)
    get_filename_component(_grpc_dir ${NDC_ARCHIVE_grpc} DIRECTORY)
    file(GLOB _absl_archives ${_grpc_dir}/libabsl_*.a)
    list(APPEND _grpc_archives ${_absl_archives})
  endif()
endif()

if(NDC_STATIC AND NOT _grpc_missing)
  list(LENGTH _grpc_archives _grpc_count)
  message(STATUS "gRPC: ${_grpc_count} archives")
  target_link_libraries(ndc_grpc INTERFACE
    -Wl,--start-group ${_grpc_archives} -Wl,--end-group Threads::Threads ${CMAKE_DL_LIBS})
else()
  if(_grpc_missing)
    message(STATUS "gRPC: shared libraries, for want of ${_grpc_missing}")
  endif()
  target_link_libraries(ndc_grpc INTERFACE gRPC::grpc++ protobuf::libprotobuf)
endif()
# Their headers for both ways of linking.
target_include_directories(ndc_grpc SYSTEM INTERFACE
  $<TARGET_PROPERTY:gRPC::grpc++,INTERFACE_INCLUDE_DIRECTORIES>
  $<TARGET_PROPERTY:protobuf::libprotobuf,INTERFACE_INCLUDE_DIRECTORIES>)
