// SPDX-License-Identifier: Apache-2.0
// Named network namespaces: bind mounts below /run/netns, shared with iproute2.
#include "netns.h"

#include "value.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <climits>
#include <thread>

static const std::string kDirectory = "/run/netns";
static const char *const kOwnNetns = "/proc/thread-self/ns/net";

// Runs `work` on a new thread, waits, and passes its Failure on.
static void on_new_thread(const std::function<void()> &work)
{
	std::exception_ptr failure;
	std::thread thread([&] {
		try {
			work();
		} catch (...) {
			failure = std::current_exception();
		}
	});
	thread.join();
	if (failure)
		std::rethrow_exception(failure);
}

void in_netns(const Fd &netns, const std::function<void()> &work)
{
	on_new_thread([&] {
		check_errno(setns(netns.get(), CLONE_NEWNET),
			    [] { return "enter network namespace"; });
		work();
	});
}

static Fd open_fd(const std::string &path, int flags, const std::string &operation)
{
	return Fd(check_errno(open(path.c_str(), flags | O_CLOEXEC, 0), [&] { return operation; }));
}

Fd own_netns()
{
	return open_fd(kOwnNetns, O_RDONLY, "open own network namespace");
}

std::vector<Napi::ClassPropertyDescriptor<Netns>> Netns::members()
{
	return {property<&Netns::inode>("inode")};
}

Napi::Value Netns::inode(const Napi::CallbackInfo &info)
{
	struct stat status;
	check_errno(fstat(resource().fd.get(), &status),
		    [&] { return "read inode of " + label(); });
	return Napi::BigInt::New(info.Env(), static_cast<uint64_t>(status.st_ino));
}

static Napi::Value open_path(Napi::Env env, const std::string &path)
{
	std::string operation = "open network namespace " + path;
	Fd fd = open_fd(path, O_RDONLY, operation);
	if (ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET)
		throw Failure(EINVAL, operation, "it is not a network namespace");
	return Netns::create(env, {path, std::move(fd)});
}

Napi::Value open_netns(const Napi::CallbackInfo &info)
{
	return open_path(info.Env(), to_text(info[0], "path"));
}

static std::string path_of(const std::string &name, const std::string &operation)
{
	if (name.empty() || name == "." || name == ".." || name.size() > NAME_MAX ||
	    name.find('/') != name.npos)
		throw Failure(EINVAL, operation, "the name must be that of a file");
	return kDirectory + '/' + name;
}

// Makes the directory a shared mount, so that namespaces mounted there reach every mount namespace
// and leave them again.
static void prepare_directory(const std::string &operation)
{
	auto describe = [&] { return operation; };
	const char *directory = kDirectory.c_str();

	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		throw Failure(errno, operation);
	Fd lock = open_fd(kDirectory, O_RDONLY | O_DIRECTORY, operation);
	check_errno(flock(lock.get(), LOCK_EX),
		    describe); // as ip does: two first users at once would mount twice

	if (mount("", directory, "none", MS_SHARED | MS_REC, nullptr) == 0)
		return;
	check_errno(mount(directory, directory, "none", MS_BIND | MS_REC, nullptr), describe);
	check_errno(mount("", directory, "none", MS_SHARED | MS_REC, nullptr), describe);
}

Napi::Value create_netns(const Napi::CallbackInfo &info)
{
	std::string name = to_text(info[0], "name");
	std::string operation = "create network namespace " + quoted(name);
	std::string path = path_of(name, operation);
	auto describe = [&] { return operation; };

	prepare_directory(operation);
	if (int fd = open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0); fd >= 0)
		close(fd);
	else
		throw Failure(errno, operation, errno == EEXIST ? "name is taken" : "");

	try {
		on_new_thread([&] {
			check_errno(unshare(CLONE_NEWNET), describe);
			check_errno(mount(kOwnNetns, path.c_str(), "none", MS_BIND, nullptr),
				    describe);
		});
	} catch (const Failure &) {
		unlink(path.c_str());
		throw;
	}
	return open_path(info.Env(), path);
}

bool delete_netns(const Napi::CallbackInfo &info)
{
	std::string name = to_text(info[0], "name");
	std::string operation = "delete network namespace " + quoted(name);
	std::string path = path_of(name, operation);

	// EINVAL: a plain file, left behind by a creation that was cut short.
	if (umount2(path.c_str(), MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
		throw Failure(errno, operation);
	if (unlink(path.c_str()) == 0)
		return true;
	if (errno == ENOENT)
		return false;
	throw Failure(errno, operation);
}
